"""Plans: what they stand for, what they refuse, and how they are shared out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxscore.batch.plan as planning
from jaxscore.batch.asked import Choices
from jaxscore.batch.plan import Plan, make_plan, read_plan, shard
from jaxscore.batch.tasks import Task
from jaxscore.cards import cards_folder
from jaxscore.errors import CardError, JaxscoreError, ModelError

EMBEDDED = "Simulated2026-encoding"


def write(folder: Path, text: str) -> Path:
    """A plan, with the tables that it does not have itself."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, default in (("benchmarks", f'["{EMBEDDED}"]'), ("models", '["mini"]')):
        text = text if f"{key} =" in text else f"{key} = {default}\n{text}"
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def own_card(folder: Path, identifier: str = "Own") -> Path:
    """A card of one's own, which takes its data from the embedded one."""
    path = folder / f"{identifier}.toml"
    path.write_text(f'extends = "{EMBEDDED}"\nidentifier = "{identifier}"\n')
    return path


def told(plan: Plan) -> list[tuple[str, dict, list[str]]]:
    return [(task.model, dict(task.choices), [job.benchmark for job in task.jobs]) for task in plan.tasks]


def test_a_whole_plan(tmp_path):
    folder = tmp_path / "plans"
    path = write(
        folder,
        f"""
        out = "s3://bucket/results"
        models = [
          "EleutherAI/pythia-160m@step{{0,1,2,4,{{1000..143000..1000}}}}",
          "runs/checkpoint-*",
          {{ name = "gpt2{{,-medium}}", untrained = true, seeds = [0, 1, 2] }},
        ]
        benchmarks = ["{EMBEDDED}", "Own.toml"]
        [options]
        pooling = "last"
        folds = 4
        """,
    )
    own_card(folder)
    for step in (2, 10):
        (folder / f"runs/checkpoint-{step}").mkdir(parents=True)
        (folder / f"runs/checkpoint-{step}/config.json").write_text("{}")
    plan = read_plan(path)
    common, both = {"pooling": "last", "folds": 4}, [EMBEDDED, str(folder / "Own.toml")]
    steps = [0, 1, 2, 4, *range(1000, 143001, 1000)]
    assert plan.out == "s3://bucket/results"
    assert told(plan) == [
        *((f"EleutherAI/pythia-160m@step{step}", common, both) for step in steps),
        *((str(folder / f"runs/checkpoint-{step}"), common, both) for step in (2, 10)),
        *((n, common | {"untrained": True, "seed": s}, both) for n in ("gpt2", "gpt2-medium") for s in (0, 1, 2)),
    ]
    assert [job.model for job in plan.jobs[:3]] == ["EleutherAI/pythia-160m@step0"] * 2 + [
        "EleutherAI/pythia-160m@step1"
    ]
    assert len({job.key for job in plan.jobs}) == len(plan.jobs) == 2 * (147 + 2 + 6)
    assert plan.tasks[-1].label == "gpt2-medium --untrained --seed 2"
    assert [Task.from_json(task.to_json()) for task in plan.tasks] == list(plan.tasks)
    assert read_plan(path) == plan


def test_relative_to_the_plan_wherever_it_is_called_from(tmp_path, monkeypatch):
    path = write(tmp_path / "plans", 'benchmarks = ["Own.toml"]\nmodels = ["../runs/*", "glove:v.txt"]\n')
    own_card(tmp_path / "plans")
    (tmp_path / "runs/one").mkdir(parents=True)
    (tmp_path / "runs/one/config.json").write_text("{}")
    (tmp_path / "plans/v.txt").write_text("the 1 2\n")
    plan = read_plan("plans/plan.toml")
    assert [task.model for task in plan.tasks] == [str(tmp_path / "runs/one"), f"glove:{tmp_path}/plans/v.txt"]
    assert plan.jobs[0].benchmark == str(tmp_path / "plans/Own.toml")
    assert plan.out == "jaxscore-results"  # as --out, of the working directory
    monkeypatch.chdir("/")
    assert read_plan(path) == plan


def test_a_command_line_is_a_plan_of_the_working_directory(tmp_path):
    own_card(tmp_path)
    plan = make_plan(["gpt2{,-xl}", "mini"], [EMBEDDED, "Own.toml"], {"pooling": "mean", "layers": None}, "there")
    text = f'models = ["gpt2{{,-xl}}", "mini"]\nbenchmarks = ["{EMBEDDED}", "Own.toml"]\n[options]\npooling = "mean"\n'
    assert plan == read_plan(write(tmp_path, 'out = "there"\n' + text))


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ('models = ["gpt2", "mini", "gpt2", { name = "{mini,gpt2}" }]', [("gpt2", {}), ("mini", {})]),
        ('models = ["mini"]\n[options]\nuntrained = false', [("mini", {})]),
        ('models = ["mini"]\n[options]\nuntrained = true\nseed = 3', [("mini", {"untrained": True, "seed": 3})]),
        (
            'models = ["mini", { name = "mini", untrained = true },\n'
            '{ name = "mini", untrained = true, seeds = [1, 1] }]',
            [("mini", {}), ("mini", {"untrained": True}), ("mini", {"untrained": True, "seed": 1})],
        ),
        (
            'models = ["sentence-length", { name = "mini", seeds = [4, 2], untrained = true }]\n[options]\nseed = 9',
            [("sentence-length", {"seed": 9}), *(("mini", {"untrained": True, "seed": i}) for i in (4, 2))],
        ),
        (
            'models = [{ name = "sentence-length", untrained = false }, "mini"]\n[options]\nuntrained = true',
            [("sentence-length", {}), ("mini", {"untrained": True})],
        ),
        (
            'models = [{ name = "random-embedding", seeds = [0, 1] }]',
            [("random-embedding", {"seed": i}) for i in (0, 1)],
        ),
        ('[options]\nrcond = 1e-3\ndtype = "bfloat16"', [("mini", {"rcond": 1e-3, "dtype": "bfloat16"})]),
        ('[options]\ndata = "s3://bucket/x.nc"', [("mini", {"data": "s3://bucket/x.nc"})]),
    ],
)
def test_tasks_of_a_plan(tmp_path, text, tasks):
    assert [(model, choices) for model, choices, _ in told(read_plan(write(tmp_path, text)))] == tasks


def test_a_benchmark_twice_is_one_job(tmp_path):
    own_card(tmp_path)
    plan = make_plan(["mini"], [EMBEDDED, "Own.toml", EMBEDDED, "./Own.toml"], {}, "out")
    assert [job.benchmark for job in plan.jobs] == [EMBEDDED, str(tmp_path / "Own.toml")]


def test_local_data_belong_to_the_plan(tmp_path):
    path = write(tmp_path / "plans", '[options]\ndata = "../here.nc"')
    (tmp_path / "here.nc").write_bytes(b"")
    assert read_plan(path).tasks[0].choices == {"data": str(tmp_path / "here.nc")}


def test_keys_name_what_was_asked(tmp_path, monkeypatch):
    def key(models=("mini",), benchmark=EMBEDDED, **choices) -> str:
        return make_plan(models, [benchmark], choices, "out").jobs[0].key

    card = own_card(tmp_path)
    keys = [
        key(),
        key(["gpt2"]),
        key(untrained=True),
        key(untrained=True, seed=1),
        key(pooling="mean"),
        key(bos="never"),
    ]
    keys += [key(layers="0"), key(dtype="float16"), key(benchmark="Own.toml")]
    card.write_text(card.read_text() + '[splits]\nscheme = "contiguous"\n')
    keys += [key(benchmark="Own.toml")]
    (tmp_path / "other").mkdir()  # the same card elsewhere may have other data beside it
    shutil.copy(card, tmp_path / "other")
    keys += [key(benchmark="other/Own.toml")]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    card.write_text('title = "Another title"\n' + card.read_text())
    assert key(benchmark="Own.toml") == keys[-2]
    monkeypatch.setattr(planning, "__version__", "99")
    assert key() not in keys


PATH = "PLAN: "
WRONG = {
    "modles = ['mini']": [PATH, "modles: unknown key. Did you mean 'models'? Known: out, models, benchmarks, options"],
    "pooling = 'last'": ["pooling: unknown key. It belongs to [options]."],
    "[options]\npoolling = 'last'": ["options.poolling: unknown key. Did you mean 'pooling'?", "Known: "],
    "[options]\nout = 'x'": ["options.out: unknown key. It belongs to the top."],
    "[options]\nbatch_size = 3": ["options.batch_size: unknown key."],
    "models = [{ name = 'mini', seed = 1 }]": ["models[0].seed: unknown key. It belongs to [options]."],
    "models = ['gpt2', { name = 'mini', sedes = [1] }]": ["models[1].sedes: unknown key. Did you mean 'seeds'?"],
    "models = ['gpt2', 3]": ["models[1]: expected a name or {", "(got 3)"],
    "models = [{ untrained = true }]": ["models[0].name: missing"],
    "models = [{ name = 'mini', untrained = 'yes' }]": ["models[0].untrained: ", "(got 'yes')"],
    "models = [{ name = 'mini', untrained = true, seeds = [-1] }]": ["models[0].seeds[0]: ", "(got -1)"],
    "models = [{ name = 'mini', untrained = true, seeds = [] }]": ["models[0].seeds: ", "at least 1 item"],
    "models = [{ name = 'mini', untrained = true, seeds = ['1'] }]": ["models[0].seeds[0]: ", "(got '1')"],
    "models = [{ name = 'mini', seeds = [1, 2] }]": [
        "models[0]: seeds: mini is read as it was trained",
        "untrained = true",
    ],
    "models = ['mini', { name = 'sentence-length', untrained = true }]": ["models[1]: sentence-length has no training"],
    "models = 'mini'": ["models: Input should be a valid list (got 'mini')"],
    "models = []": ["models: ", "at least 1 item"],
    "models = ['']": ["models[0]: '' stands for ''"],
    "models = ['gtp2']": ["models[0]: Unknown model 'gtp2'", "Did you mean 'gpt2'"],
    "models = ['mini', 'gpt2@step{1..99999999}']": ["models[1]: ", "more than 10,000 models"],
    "models = ['runs/*']": ["models[0]: 'runs/*' matches no local checkpoint", "plan.toml"],
    "benchmarks = []": ["benchmarks: ", "at least 1 item"],
    "benchmarks = ['Pereira2018-encodign']": ["benchmarks[0]: Unknown benchmark", "'Pereira2018-encoding'"],
    "benchmarks = ['Blank2014-ridge', 'my.toml']": ["benchmarks[1]: There is no card FOLDER/my.toml"],
    "benchmarks = ['bad.toml']": ["benchmarks[0]: FOLDER/bad.toml: metrik: unknown key"],
    "out = ''": ["out: ", "(got '')"],
    "options = 3": ["options: expected a table (got 3)"],
    "[options]\nfolds = '5'": ["options.folds: Input should be a valid integer (got '5')"],
    "[options]\nfolds = 2": ["options.folds: 2 folds are too few"],
    "[options]\nuntrained = 1": ["options.untrained: ", "(got 1)"],
    "[options]\nseed = -1": ["options.seed: ", "(got -1)"],
    "[options]\ndtype = 'float23'": ["options.dtype: ", "Did you mean 'float32'"],
    "[options]\nlayers = 3": ["options.layers: Input should be a valid string (got 3)"],
    "[options]\npooling = 'lats'": ["options.pooling: Unknown pooling 'lats'. Did you mean 'last'"],
    "[options]\nregression = 'lasso'": ["options.regression: Not a regression: lasso"],
    "[options]\nrcond = 2.0": ["options.rcond: Not a regression: 2.0"],
    "[options]\nreduction = 'pca'": ["options.reduction: "],
    "[options]\nwindow = 0": ["options.window: window is 0"],
    "[options]\ndata = 'nowhere.nc'": ["options.data: There is no file or folder FOLDER/nowhere.nc"],
    "benchmarks = ['Blank2014-ridge', 'Futrell2018-pearsonr']\n[options]\nfolds = 5": [
        "options.folds: Futrell2018-pearsonr correlates surprisal"
    ],
    "benchmarks = ['Alice2016-encoding']\n[options]\nsplits = 'shuffled'": [
        "options.splits: Alice2016-encoding is tested"
    ],
    "modles = ['mini']\npooling = 'last'": ["modles: unknown key", "pooling: unknown key"],  # all at once
    "models = [": ["not readable as TOML"],
    "models = ['mini']\nmodels = ['gpt2']": ["not readable as TOML"],
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused(tmp_path, text):
    path = write(tmp_path, text)
    (tmp_path / "bad.toml").write_text(f'extends = "{EMBEDDED}"\nmetrik = "rdm"\n')
    with pytest.raises(JaxscoreError) as caught:
        read_plan(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.hint
    for part in WRONG[text]:
        assert part.replace("PLAN", str(path)).replace("FOLDER", str(tmp_path)) in str(caught.value)


@pytest.mark.parametrize("lacking", ["models", "benchmarks"])
def test_a_missing_key(tmp_path, lacking):
    keys = {"models": '["mini"]', "benchmarks": f'["{EMBEDDED}"]'}
    path = tmp_path / "plan.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in keys.items() if key != lacking))
    with pytest.raises(JaxscoreError, match=f"{lacking}: missing"):
        read_plan(path)


def test_files_that_are_no_plan(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, what in (
        ("nothing.toml", "There is no plan nothing.toml"),
        ("bytes.toml", "not readable"),
        (".", "not read"),
    ):
        with pytest.raises(JaxscoreError, match=what):
            read_plan(name)


def test_errors_of_a_command_line_keep_their_kind():
    with pytest.raises(ModelError, match=r"^Unknown model 'gtp2'"):
        make_plan(["gtp2"], [EMBEDDED], {}, "out")
    with pytest.raises(CardError, match=r"^There is no card"):
        make_plan(["mini"], ["my.toml"], {}, "out")
    with pytest.raises(JaxscoreError, match=r"^options.poling: unknown key. Did you mean 'pooling'"):
        make_plan(["mini"], [EMBEDDED], {"poling": "last"}, "out")


def test_options_are_those_of_score():
    import inspect

    from jaxscore import score

    asked = inspect.signature(score).parameters
    assert set(Choices.model_fields) <= set(asked)
    for name, field in Choices.model_fields.items():
        assert field.default == asked[name].default, name


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shards_are_the_plan(count):
    plan = make_plan(["pythia-70m@step{1..11}"], [EMBEDDED, "Blank2014-ridge"], {}, "out")
    shards = [shard(plan, f"{i}/{count}") for i in range(1, count + 1)]
    assert sorted(job.key for part in shards for job in part.jobs) == sorted(job.key for job in plan.jobs)
    sizes = [len(part.tasks) for part in shards]
    assert max(sizes) - min(sizes) <= 1
    assert {part.out for part in shards} == {"out"}
    assert all(len(task.jobs) == 2 for part in shards for task in part.tasks)
    assert shards[0].tasks == plan.tasks[::count]


@pytest.mark.parametrize(
    "part", ["0/8", "9/8", "1", "1/0", "0/0", "/", "", "a/b", "1/2/3", "-1/2", "1.5/2", " 1/2", "²/3"]
)
def test_shards_that_are_none(part):
    plan = make_plan(["mini"], [EMBEDDED], {}, "out")
    with pytest.raises(JaxscoreError, match="I from 1 to N") as caught:
        shard(plan, part)
    assert repr(part) in caught.value.message
    assert "$((SLURM_ARRAY_TASK_ID + 1))/$SLURM_ARRAY_TASK_COUNT" in caught.value.hint


def test_planning_stays_light(tmp_path):
    """A plan of a thousand checkpoints and every card needs no JAX, and no library of the hub."""
    benchmarks = sorted(path.stem for path in cards_folder().glob("*.toml"))
    path = write(
        tmp_path, f'models = ["EleutherAI/pythia-{{14m,31m}}@step{{1..500}}", "mini"]\nbenchmarks = {benchmarks}'
    )
    code = """
import sys
from jaxscore.batch.plan import read_plan
plan = read_plan(sys.argv[1])
heavy = set("jax torch transformers boto3 matplotlib xarray pandas sklearn scipy huggingface_hub".split())
print(len(plan.tasks), len({job.key for job in plan.jobs}), *sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1001", str(1001 * len(benchmarks))], done.stdout + done.stderr
