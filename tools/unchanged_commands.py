"""What `unchanged.py` gives both versions to do, one command a line, and the files that the commands need."""


def _commands(text: str) -> list[str]:
    """One a line; a line that ends in a backslash goes on."""
    return [" ".join(line.split()) for line in text.strip().splitlines()]


FILES = {
    "data/table.csv": "width,price\n" + "".join(f"{i % 7},{i % 7 * 3 + i % 5}\n" for i in range(80)),
    "data/book.txt": "the quick brown fox jumps over the lazy dog\n" * 60,
}
"""Files of the user's own, by their path in the working folder."""

STARTERS = ("tasks new mine --python", "tasks new plain", "optims new ours")
"""What writes the other files of the user's own; the old version does it for both."""

PLANS = _commands("""
compare --task {tasks},./mine.py,plain.yaml --optims {optims},po.Yogi,po.Lamb,po.AdaBelief,po.LaProp,./ours.py \
    --seeds 1 --fake-data --brief
compare --task digits,breast_cancer,diabetes,quadratic,markov,./mine.py \
    --optims lehi,adamw:betas=0.9/0.95:label=mine --seeds 3,7
compare --task digits,mnist,cifar10 --optims lehi:lr=3e-3:clip=1,sgd --fake-data --set batch_size=16 --epochs 2 \
    --precision bf16
compare --task digits --optims hf,ours.py:momentum=0.5 --set model=linear --set schedule.kind=linear --passes 50 \
    --seeds auto:4
compare --task diabetes --optims soaa,lehi --set loss=huber --set loss.delta=2 --set model.hidden=8/8 \
    --set evaluations=3
compare --task csv --optims sfn,muon --set data.path=table.csv --set data.target=price --steps 30
compare --task csv --optims lehi,adam --set data.path=table.csv --set data.target=price --set loss=gaussian_nll \
    --set loss.var=0.5 --set metrics=mae
compare --task text --optims lehi,lion --set data.path=book.txt --set model=gru --seconds 2
compare --task digits,diabetes --optims lehi,adam,momentum --tune 3 --seeds 2
compare --task digits,diabetes --smoke
sweep --task digits,./mine.py --optims lehi,adam,./ours.py --over lr=1e-4..1e-1/log5 \
    --over lehi.factor=rademacher,sampled --seeds 2
sweep --task breast_cancer --optims lehi,sophia,muon --trials 5 --space lr=1e-4..1e-1/log --seeds 2
sweep --task quadratic --optims lehi,adam --trials 6 --sampler tpe --prune
sweep --task diabetes --optims lehi,adam --trials 6 --sampler random
train --task markov --optim bdhf --seeds 2 --set loss.label_smoothing=0.1
""")
"""Planned by both, with made-up results. `{tasks}` and `{optims}` are all that are registered."""

TRAINED = _commands("""
compare --task digits --optims lehi,adam,sgd --seeds 3 --passes 60 --cost --target val_loss=2
compare --task diabetes,quadratic --optims lehi,adam,muon --seeds 3 --passes 40 --reference adam \
    --assert 'lehi < muon @ val_loss'
compare --task digits --optims lehi,adam --tune 2 --seeds 2 --passes 30 --full
compare --task digits --optims adam,sgd,sgd:lr=1e9:label=wild --seeds auto:4 --passes 30
compare --task markov,breast_cancer --optims lehi,hf --steps 5 --seeds 2 --margin 0.05
compare --task ./mine.py --optims ./ours.py,adam --seeds 2 --epochs 1 --jobs 2
compare --task digits --optims adam,lion --set loss=nll --set model=linear --smoke
compare --task mnist,mnist_autoencoder --optims lehi,po.Yogi --fake-data --seeds 1 --steps 2 --precision bf16
sweep --task digits --optims lehi,adam --over lr=1e-4..1e-1/log3 --steps 20 --seeds 2
sweep --task digits --optims lehi,adam --trials 3 --sampler tpe --prune --passes 20
""")
"""Trained by both: fast, slow and diverging runs, some that fail (logits are no log-probabilities), made-up data."""

AGAIN = [command.replace(" --cost", "") for command in (*TRAINED, f"{TRAINED[1]} --json")]
"""The same where everything is there already. A price would be measured again, and differ."""

OF_EACH = ("", "--full", "--json")
"""How each comparison is shown."""

REPORTS = _commands("""
report
report --brief
report --full
report --json
report --task digits --x seconds
report --task diabetes,quadratic --x steps --full
report --task 'd*' --optims lehi,adam --seeds 2 --brief
report --task digits --cost
report --task digits --by lr
report --task digits --by lr,betas --role all --brief
report --task digits --best-by val_loss
report --task digits --best-by val_accuracy --role trial
report --task digits --target val_loss=2.2
report --task diabetes,quadratic --reference adam --margin 0.3
report --task diabetes --margin loss=0.05,mae=0.01
report --task diabetes --metric mae --split test
report --role all
report --role trial --full
report --status diverged
report --status error
report --label wild,sgd --allow-diverged --brief
report --since 2020-01-01 --until 2100-01-01 --brief
report --since 2d --task markov
report --task diabetes,quadratic --assert 'lehi.val_loss < 5' --assert 'lehi.passes_per_step <= 2'
report --task diabetes --assert 'lehi.val_loss > 5'
report --task diabetes --assert 'lehi <= adam @ test_mae'
report --task quadratic --assert 'lehi < adam @ val_loss'
report --task quadratic --assert 'lehi*1.5 < adam @ val_loss' --full
report --task mine
report --task mnist
compare --task digits --optims lehi,adam,sgd --passes 60 --dry-run --executor mock
report --task nothing
report --status odd
report --comparison nothing
report --x years
report --assert 'lehi < nobody'
report --margin wide
report --brief --full
""")
"""Pages on stored runs; the last ones are refused."""

EXPORTS = (
    "report --full",
    "report --task digits --cost",
    "report --task diabetes,quadratic --full",
)
ENDINGS = ("txt", "md", "csv", "json", "tex", "html")
"""Pages that are written to files, and what formats the files are in."""
