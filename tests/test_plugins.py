"""Strangers' plugins, whole and broken: each is told from the others, named with its cause, and harms nobody."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from conftest import FORMER, MANIFEST, PLUGIN, Strangers

from diffx.cli.hooks import reference
from diffx.plugins import hookspecs

DOCS = Path(__file__).parents[1] / "docs"


def manifest(name: str, old: str = "", new: str = "") -> str:
    text = MANIFEST.format(name=name)
    assert old in text
    return text.replace(old, new)


SAMPLERS = """
@diffx.hookimpl
def diffx_samplers():
    {}
"""

BROKEN = {
    "api": ({"manifest": manifest("api", "api: 1.0", "api: 2.0")}, "made for plugin API 2.0, this diffx has 1.0"),
    "field": (
        {"manifest": manifest("field", "summary:", "sumary:")},
        "bad manifest: unknown field 'sumary'; did you mean 'summary'?; summary is missing",
    ),
    "syntax": ({"manifest": "plugins: [\n"}, "diffx.yaml:2: "),
    "row": ({"manifest": manifest("row", "  row:", "  other:")}, "no row 'plugins: row:'"),
    "module": (
        {"manifest": manifest("module", ".plugin\n", ".plug\n")},
        "module 'stranger_module.plug' is not the entry",
    ),
    "task": (
        {"manifest": manifest("task", "default_task: greet", "default_task: gret")},
        "'gret' is not one of its tasks",
    ),
    "shape": ({"manifest": "plugins: {shape: [1, 2]}\n"}, "bad manifest: shape: expected a mapping"),
}


def test_broken_metadata_is_reported_and_harms_nobody(strangers: Strangers) -> None:
    for name, (files, _) in BROKEN.items():
        strangers.add(name, **files)
    strangers.add("nofile")
    (strangers.folder / "stranger_nofile/diffx.yaml").unlink()
    strangers.add("well")
    damaged = strangers.folder / "damaged-1.0.dist-info"  # not even its entry points parse
    damaged.mkdir()
    (damaged / "METADATA").write_text("Name: damaged\nVersion: 1.0\n")
    (damaged / "entry_points.txt").write_text("[diffx]\nthis is no entry point\n")

    listed = strangers.diffx("plugins", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    found = {row["name"]: row for row in json.loads(listed.stdout)}
    assert {name for name, row in found.items() if row["usable"]} >= {"well"}
    for name, (_, cause) in {**BROKEN, "nofile": ({}, "no diffx.yaml in the folder of its package")}.items():
        assert cause in found[name]["state"], found[name]
        assert (found[name]["distribution"], found[name]["version"]) == (f"stranger-{name}", "1.2")
        ran = strangers.diffx("run", f"plugin={name}")
        assert ran.returncode == 3
        assert ran.stderr.startswith(f"diffx: error: plugin '{name}' (stranger-{name} 1.2): ") and cause in ran.stderr
    assert strangers.diffx("config", "show", "plugin=well").returncode == 0


@pytest.mark.parametrize(
    "code, cause",
    [
        ("import nowhere_to_be_found", "does not import: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0", "does not import: ZeroDivisionError: division by zero"),
        ("def f(:", "does not import: SyntaxError: "),
        (
            PLUGIN.format(name="bad").replace("diffx_data(", "diffx_datta("),
            "unknown hook diffx_datta; did you mean 'diffx_data'?",
        ),
        (
            PLUGIN.format(name="bad").replace("cfg, split", "config, split"),
            "diffx_data asks for 'config'; the hook is diffx_data(cfg, split)",
        ),
        (
            PLUGIN.format(name="bad").replace("@diffx.hookimpl\ndef diffx_data", "def diffx_data"),
            "diffx_data is not marked with @diffx.hookimpl",
        ),
    ],
)
def test_a_plugin_broken_at_import(strangers: Strangers, code: str, cause: str) -> None:
    strangers.add("bad", plugin=code)
    strangers.add("well")
    assert strangers.diffx("plugins").returncode == 0  # listing imports nobody
    for words in (["run", "plugin=bad"], ["plugins", "check", "bad"]):
        done = strangers.diffx(*words)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 3
        assert line.startswith("diffx: error: plugin 'bad' (stranger-bad 1.2)") and cause in line
    assert strangers.diffx("config", "show", "plugin=well").returncode == 0


def test_a_hook_that_raises_names_its_plugin(strangers: Strangers) -> None:
    raising = PLUGIN.format(name="bad") + SAMPLERS.format("raise KeyError('greet')")
    strangers.add("bad", plugin=raising)
    strangers.add("well")
    done = strangers.diffx("run", "plugin=bad", "--traceback")
    assert done.returncode == 3
    *trace, line = done.stderr.splitlines()
    assert line == "diffx: error: plugin 'bad' (stranger-bad 1.2) failed in diffx_samplers: KeyError: 'greet'"
    assert any(re.search(r"stranger_bad/plugin.py.*in diffx_samplers", one) for one in trace)

    # and as somebody's extension it is named too, and installed without being asked for it does nothing
    done = strangers.diffx("run", "plugin=well", "extensions=bad")
    assert done.returncode == 3 and "plugin 'bad' (stranger-bad 1.2) failed in diffx_samplers" in done.stderr


def test_a_run_with_an_extension(strangers: Strangers, tmp_path: Path) -> None:
    strangers.add("one")
    strangers.add(
        "two",
        plugin="""
            import diffx

            @diffx.hookimpl
            def diffx_data(cfg, split):
                return "of the extension"

            @diffx.hookimpl
            def diffx_finish(run, error):
                run.log(f"finished with {error}")
        """,
    )
    strangers.add("three", plugin="raise SystemExit('installed is not loaded')")
    done = strangers.diffx("run", "plugin=one", "extensions=two", "size=2", f"out={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == {"size": 2.0}
    assert "finished with None" in (tmp_path / "out/log.txt").read_text()


def test_weights_trained_with_an_extension_are_restored_with_it(strangers: Strangers, tmp_path: Path) -> None:
    strangers.add("one")
    strangers.add(
        "two",
        plugin="""
            import diffx
            from diffx.schedule import SCHEDULES

            @diffx.hookimpl
            def diffx_schedules():
                return {"mine": SCHEDULES["cosine"]}
        """,
    )
    code = """if True:
        import sys
        from dataclasses import replace
        from pathlib import Path
        from diffx import plugins
        from diffx.io import checkpoint
        from diffx.pipeline import Pipeline, build, describe
        from diffx.config import resolve
        from diffx.data.spec import Spec
        from stranger_one.config import Config
        options = ["plugin=one", "extensions=two", "process.schedule=mine", "net.channels=8", "net.attention=[]"]
        cfg, spec = resolve(Config, overrides=options), Spec((1, 8))
        both = plugins.load("one", ("two",))
        model, _ = build(both, cfg, spec)
        path = Path(sys.argv[1])
        checkpoint.save(path, {f"model.{k}": v for k, v in model.state_dict().items()}, describe(cfg, spec))
        print(Pipeline.load(path, extensions=["two"]).config.extensions)
    """
    done = strangers.python("-c", code, str(tmp_path / "w.safetensors"))
    assert done.stdout == "['two']\n", done.stderr


def test_the_order_in_which_they_are_asked(strangers: Strangers) -> None:
    samplers = "import diffx\n@diffx.hookimpl\ndef diffx_samplers():\n    return {{'s': '{0}', '{0}': '{0}'}}\n"
    write = "@diffx.hookimpl\ndef diffx_write(cfg, folder):\n    return {}\n"
    strangers.add("one", plugin=samplers.format("one") + write.format("None"))
    strangers.add("two", plugin=samplers.format("two") + write.format("['two']"))
    (strangers.folder / "core_answers.py").write_text(samplers.format("core") + write.format("['core']"))
    code = """if True:
        import json
        from diffx.plugins.loader import Plugins
        from diffx.errors import PluginError
        from diffx.plugins.manifest import Manifest
        from diffx.plugins.registry import Found
        core = Found("core", Manifest("core", "its answers", "core_answers", "1.0"), "diffx", "0")
        alone, both = Plugins("one", core=core), Plugins("one", ["two"], core=core)
        try:
            alone.call("diffx_data", cfg=None, split="train")
        except PluginError as error:
            nobody = str(error)
        arguments = dict(cfg=None, samples=None, folder=None)
        print(json.dumps([alone.table("diffx_samplers"), both.table("diffx_samplers"),
                          alone.call("diffx_write", **arguments), both.call("diffx_write", **arguments), nobody]))
    """
    done = strangers.python("-c", code)
    assert json.loads(done.stdout or "[]") == [
        {"s": "one", "one": "one", "core": "core"},
        {"s": "one", "one": "one", "two": "two", "core": "core"},
        ["core"],
        ["two"],
        "plugin 'one' (stranger-one 1.2) does not answer diffx_data, and neither does the core",
    ], done.stderr


def test_check_finds_what_an_author_should_know(strangers: Strangers) -> None:
    strangers.add("heavy", config="import numpy\nfrom stranger_well.config import *\n")
    strangers.add("well")
    strangers.add("preset", manifest=manifest("preset", "size: 9", "size: 99, sise: 1"))
    default = "from dataclasses import dataclass\nimport diffx\n@dataclass\nclass Config(diffx.RunConfig):\n"
    strangers.add("default", config=default + "    size: float = diffx.option(-1.0, help='how big', min=0)\n")
    strangers.add("config", config="Config = dict\n")
    lacking = PLUGIN.format(name="must").replace("@diffx.hookimpl\ndef diffx_data", "def other")
    strangers.add("must", plugin=lacking.replace("def greet", "def gret") + FORMER.replace("greet", "gret"))
    cases = {
        "heavy": [
            "importing stranger_heavy.config:Config imports numpy: every `--help` and every typo would wait for it"
        ],
        "preset": [
            "preset big: size=99: expected a number from 0 to 10 (mm)",
            "preset big: sise=1: unknown option; did you mean 'size'?",
        ],
        "default": ["the default size=-1.0 is not allowed: expected a number, at least 0"],
        "config": ["not a class that inherits diffx.RunConfig"],
        "must": [
            "does not answer diffx_data",
            "stranger_must.plugin:greet, but stranger_must.plugin has no function greet; did you mean 'gret'?",
            "its code has a task 'gret' that its manifest does not name",
        ],
    }
    for name, causes in cases.items():
        done = strangers.diffx("plugins", "check", name, "--to", "import")
        said = done.stderr.splitlines()
        assert done.returncode == 3 and len(said) >= len(causes), done
        for line, cause in zip(said, causes):
            assert line.startswith(f"diffx: error: plugin {name!r} (stranger-{name} 1.2)") and cause in line, said


def test_a_plugin_that_kills_its_process_is_told_from_one_that_fails(strangers: Strangers) -> None:
    strangers.add("deadly", plugin="import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = strangers.diffx("plugins", "check", "deadly")
    assert done.returncode == 3
    assert (
        done.stderr.splitlines()[-1] == "diffx: error: plugin 'deadly' ended the process that imported it (signal 11)"
    )


def test_two_plugins_of_one_name(strangers: Strangers) -> None:
    strangers.add("mri_synth")  # a stranger takes the name of one of ours
    strangers.add("twin")
    other = strangers.folder / "other_twin-0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-twin\nVersion: 0.1\n")
    (other / "entry_points.txt").write_text("[diffx]\ntwin = stranger_twin.plugin\n")

    def states() -> dict[tuple[str, str], str]:
        rows = json.loads(strangers.diffx("plugins", "list", "--json").stdout)
        return {(row["name"], row["distribution"]): row["state"] for row in rows}

    found = states()
    assert found["mri_synth", "diffx-suite"] == "ready"
    assert found["mri_synth", "stranger-mri_synth"].endswith(
        "also has a plugin 'mri_synth': diffx plugins remove, or block, stranger-mri_synth"
    )
    assert found["twin", "stranger-twin"].startswith("other-twin 0.1 also has a plugin 'twin'")
    assert found["twin", "other-twin"].startswith("stranger-twin 1.2 also has a plugin 'twin'")
    assert strangers.diffx("config", "show", "plugin=mri_synth").returncode == 0
    done = strangers.diffx("run", "plugin=twin")
    assert done.returncode == 3 and "also has a plugin 'twin'" in done.stderr
    done = strangers.diffx("plugins", "remove", "twin")
    assert done.returncode == 3 and "other-twin and stranger-twin bring a plugin 'twin': name one" in done.stderr

    assert strangers.diffx("plugins", "block", "Other.Twin", "the wrong one").returncode == 0
    found = states()
    assert found["twin", "stranger-twin"] == "ready"
    assert found["twin", "other-twin"] == "blocked: the wrong one"
    assert strangers.diffx("config", "show", "plugin=twin").returncode == 0


def test_a_manifest_in_a_shared_namespace(strangers: Strangers) -> None:
    """Two distributions in one namespace package each have their manifest beside their own part."""
    for name in ("one", "two"):
        package = strangers.add(name)
        part = strangers.folder / "acme" / f"stranger_{name}"
        part.parent.mkdir(exist_ok=True)
        package.rename(part)
        for file in part.iterdir():
            file.write_text(file.read_text().replace(f"stranger_{name}", f"acme.stranger_{name}"))
        entry = strangers.folder / f"stranger_{name}-1.2.dist-info/entry_points.txt"
        entry.write_text(f"[diffx]\n{name} = acme.stranger_{name}.plugin\n")
    for name in ("one", "two"):
        assert strangers.diffx("config", "show", f"plugin={name}").returncode == 0


@pytest.mark.parametrize(
    "code, cause",
    [
        ("import sys; sys.exit(0)", "does not import: SystemExit: 0"),
        (
            PLUGIN.format(name="bad") + SAMPLERS.format('return ["greet"]'),
            "diffx_samplers returned a list, not a mapping of names",
        ),
        (
            PLUGIN.format(name="bad") + SAMPLERS.format("raise SystemExit(0)"),
            "failed in diffx_samplers: SystemExit: 0",
        ),
    ],
)
def test_a_plugin_that_leaves_or_answers_nonsense(strangers: Strangers, code: str, cause: str) -> None:
    strangers.add("bad", plugin=code)
    done = strangers.diffx("run", "plugin=bad")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("diffx: error: plugin 'bad' (stranger-bad 1.2)") and line.endswith(cause)


FINISH = """
import diffx

@diffx.hookimpl
def diffx_finish(run, error):
    {}
"""


def test_who_fails_at_the_end_keeps_nobody_from_theirs(strangers: Strangers, tmp_path: Path) -> None:
    strangers.add("one")
    strangers.add("bad", plugin=FINISH.format("raise KeyError('end')"))
    strangers.add("log", plugin=FINISH.format("run.log(f'told of {error!r}')"))
    words = ["run", "plugin=one", "extensions=bad,log"]
    done = strangers.diffx(*words, f"out={tmp_path}/well")
    failure = "plugin 'bad' (stranger-bad 1.2) failed in diffx_finish: KeyError: 'end'"
    assert done.returncode == 3 and f"diffx: error: {failure}" in done.stderr
    assert "told of None" in (tmp_path / "well/log.txt").read_text()

    # what ended the run is what the user is told; the failure of the end is a note
    raising = PLUGIN.format(name="one").replace('run.metric("size", run.cfg.size)', "raise diffx.DataError('no tide')")
    (strangers.folder / "stranger_one/plugin.py").write_text(raising)
    done = strangers.diffx(*words, f"out={tmp_path}/ill")
    assert done.returncode == 5 and "diffx: error: no tide" in done.stderr
    log = (tmp_path / "ill/log.txt").read_text()
    assert f"note: {failure}" in log and "told of DataError('no tide')" in log


def test_an_extension_needs_no_tasks_and_is_not_run_by_itself(strangers: Strangers) -> None:
    extension = "plugins:\n  ext:\n    {}\n".format(
        "\n    ".join(["summary: s", "module: stranger_ext.plugin", "api: 1.0"])
    )
    strangers.add("ext", plugin=FINISH.format("pass"), manifest=extension)
    done = strangers.diffx("plugins", "check", "ext", "--to", "import")
    assert done.returncode == 0, done.stderr
    done = strangers.diffx("run", "plugin=ext")
    assert done.returncode == 2
    assert "is an extension: name it in extensions= of another plugin's run" in done.stderr


def test_doctor_goes_on_where_a_plugin_fails(strangers: Strangers) -> None:
    strangers.add("bad", plugin="1 / 0")
    done = strangers.diffx("doctor", "plugin=bad")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "torch works" in text and "plugin mri_synth" in text
    assert "not ok bad: its own plugin 'bad' (stranger-bad 1.2) does not import: ZeroDivisionError" in text


def test_a_hook_may_say_in_its_own_words_what_is_wrong(strangers: Strangers) -> None:
    saying = PLUGIN.format(name="bad") + SAMPLERS.format("raise diffx.DataError('scan.nii: empty')")
    strangers.add("bad", plugin=saying)
    done = strangers.diffx("run", "plugin=bad")
    assert (done.returncode, done.stderr) == (5, "diffx: error: scan.nii: empty\n")


def test_the_reference_is_that_of_the_hooks() -> None:
    page = (DOCS / "hooks.md").read_text(encoding="utf-8")
    assert page == reference(), "diffx plugins hooks > docs/hooks.md"
    for name, hook in hookspecs.HOOKS.items():
        assert f"    {name}{inspect.signature(hook)}".replace("'", "") in page
        assert (inspect.getdoc(hook) or "?") in page


@pytest.mark.parametrize("page", ["plugins.md", "hooks.md"])
def test_the_docs_name_no_hook_that_is_gone(page: str) -> None:
    named = set(re.findall(r"\b(diffx_[a-z]+)\b", (DOCS / page).read_text(encoding="utf-8")))
    assert named - {"diffx_mri"} <= set(hookspecs.HOOKS)


def test_only_the_module_of_the_task_that_was_chosen_is_imported(strangers: Strangers) -> None:
    tasks = (
        """{greet: {run: "stranger_one.greet:greet", help: hello}, part: {run: "stranger_one.part:part", help: bye}}"""
    )
    strangers.add(
        "one", manifest=manifest("one", MANIFEST[MANIFEST.index("{{greet") :].splitlines()[0].format(name="one"), tasks)
    )
    for name in ("greet", "part"):
        code = (
            f"import sys\ndef {name}(run):\n    run.log(str(sorted(m for m in sys.modules if 'stranger_one.' in m)))\n"
        )
        (strangers.folder / f"stranger_one/{name}.py").write_text(code)
    for name in ("greet", "part"):
        done = strangers.diffx("run", "plugin=one", f"task={name}")
        assert done.returncode == 0, done.stderr
        assert f"['stranger_one.config', 'stranger_one.{name}', 'stranger_one.plugin']" in done.stderr


def test_the_core_brings_tasks_for_a_plugin_that_names_them_without_a_function(strangers: Strangers) -> None:
    strangers.add("one", manifest=manifest("one", "tasks: {greet", "tasks: {average: mean, gret: hm, greet"))
    done = strangers.diffx("run", "plugin=one", "task=average")
    assert done.returncode == 2 and "from= says which run's snapshots to average" in done.stderr
    done = strangers.diffx("run", "plugin=one", "task=gret")
    assert done.returncode == 3 and not list(strangers.folder.glob("runs/one/*gret"))
    assert done.stderr == (
        "diffx: error: plugin 'one' (stranger-one 1.2): its manifest names a task 'gret' and no function (run:); "
        "without one it has to be a task of the core: train, sample, average\n"
    )


def test_tasks_of_the_former_hook_run_and_check_says_how_they_are_written_now(strangers: Strangers) -> None:
    form = MANIFEST.format(name="old")
    form = form[: form.index("    tasks:")] + "    tasks: {greet: say hello}\n"
    strangers.add("old", plugin=PLUGIN.format(name="old") + FORMER, manifest=form)
    done = strangers.diffx("run", "plugin=old", "size=2")
    assert done.returncode == 0, done.stderr
    done = strangers.diffx("plugins", "check", "old", "--to", "import")
    assert done.returncode == 0, done.stderr
    assert 'greet: {run: "stranger_old.plugin:greet", help: ...}' in done.stdout


@pytest.mark.parametrize(
    "entry, cause",
    [
        ("{run: stranger_bad.plugin:greet}", "tasks.greet: expected {run: package.module:function, help: one line}"),
        ("{run: greet, help: x}", "tasks.greet: run: expected package.module:function, not 'greet'"),
        ("[greet]", "tasks.greet: expected {run: package.module:function, help: one line}, or one line of help"),
        ("{run: 'stranger_bad.nowhere:greet', help: x}", "does not import: ModuleNotFoundError"),
        ("{run: 'stranger_bad.plugin:gret', help: x}", "has no function gret; did you mean 'greet'?"),
    ],
)
def test_a_task_that_the_manifest_names_wrongly(strangers: Strangers, entry: str, cause: str) -> None:
    form = MANIFEST.format(name="bad")
    strangers.add("bad", manifest=form[: form.index("    tasks:")] + f"    tasks: {{greet: {entry}}}\n")
    done = strangers.diffx("run", "plugin=bad")
    assert done.returncode == 3 and cause in done.stderr, done.stderr
    assert not (strangers.folder / "runs").exists()
