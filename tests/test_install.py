"""From wheels, in a new environment, away from the checkout: a stranger's plugin is made, installed, run and removed,
and plugins that are broken in every way harm nobody."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import CONFIG, MANIFEST, PLUGIN, ROOT, Fresh, build_wheels

PAGE = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stranger-{dist}"
version = "1.2"

[project.entry-points.diffx]
{name} = "stranger_{dist}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["stranger_{dist}"]
"""


def project(folder: Path, dist: str, name: str = "", plugin: str = "", manifest: str = "") -> Path:
    """A distribution stranger-DIST with the plugin NAME as a project that builds; what is not given is well."""
    name = name or dist
    package = folder / dist / f"stranger_{dist}"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(PYPROJECT.format(dist=dist, name=name))
    usual = MANIFEST.format(name=name).replace(f"stranger_{name}", f"stranger_{dist}")
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text(CONFIG)
    (package / "plugin.py").write_text(plugin or PLUGIN.format(name=dist))
    (package / "diffx.yaml").write_text(manifest or usual)
    return package.parent


def tutorial() -> str:
    """The blocks of the page marked `tutorial` as one script: commands, files to write, lines to append."""
    parts = ["set -eux"]
    for language, where, text in re.findall(r"```(\w+) tutorial ?([^\n]*)\n(.*?)```", PAGE, re.S):
        redirect = where if where.startswith(">>") else f"> {where}"
        parts.append(text if language == "sh" else f"cat {redirect} <<'END'\n{text}END")
    return "\n".join(parts)


def test_the_tutorial_runs_as_it_stands(fresh: Fresh) -> None:
    script = tutorial()
    assert all(f"diffx plugins {verb}" in script for verb in ("new", "install", "check", "remove", "info"))
    done = fresh.run("bash", "-c", script)
    assert done.returncode == 0, done.stdout + done.stderr
    here = fresh.work / "tidal-curves"
    for level in ("manifest", "configuration", "import", "contract"):
        assert re.search(rf"^{level} +ok$", done.stdout, re.M)
    assert re.search(r"\b9 passed", done.stdout)  # the contract's seven and the project's own
    assert (here / "runs/first/report.html").stat().st_size > 10_000
    assert len(list((here / "runs/drawn/samples").glob("*.npy"))) == 4
    table = (here / "runs/tables/samples/tide-0000.csv").read_text().splitlines()
    assert len(table) == 48 and all(abs(float(value)) < 10 for value in table)

    # the environment is really one of its own, and the plugin now comes from the wheel
    shutil.move(here, fresh.folder / "away")
    where = "import diffx, tidal_curves; print(diffx.__file__); print(tidal_curves.__file__)"
    for file in fresh.python("-c", where).stdout.split():
        assert Path(file).is_relative_to(fresh.folder / "venv")
    assert fresh.diffx("run", "plugin=tidal_curves", "--help").returncode == 0
    assert fresh.diffx("plugins", "remove", "tidal_curves").returncode == 0


def test_each_failure_is_reported_and_harmless(fresh: Fresh) -> None:
    well, folder = PLUGIN, fresh.folder / "broken"
    both = "also has a plugin 'twin'"
    ours = "also has a plugin 'mri_synth': diffx plugins remove, or block, stranger-thief"
    # distribution -> (plugin, its code, its manifest, cause, seen already by listing it)
    cases = {
        "importing": ("importing", "1 / 0", "", "does not import: ZeroDivisionError: division by zero", False),
        "raising": (
            "raising",
            well.format(name="raising") + "\n@diffx.hookimpl\ndef diffx_samplers():\n    raise KeyError('greet')\n",
            "",
            "failed in diffx_samplers: KeyError: 'greet'",
            False,
        ),
        "twina": ("twin", "", "", both, True),
        "twinb": ("twin", "", "", both, True),
        "thief": ("mri_synth", "", "", ours, True),
        "api": (
            "api",
            "",
            MANIFEST.format(name="api").replace("api: 1.0", "api: 2.0"),
            "made for plugin API 2.0, this diffx has 1.0",
            True,
        ),
        "manifest": ("manifest", "", "plugins: [\n", "diffx.yaml:2: ", True),
    }
    projects = [project(folder, dist, name, code, text) for dist, (name, code, text, _, _) in cases.items()]
    projects.append(project(folder, "well"))
    wheels = build_wheels(projects, folder / "wheels")
    done = fresh.diffx("plugins", "install", *map(str, wheels), "--", "--no-deps")
    assert done.returncode == 3
    assert f"+ {fresh.bin / 'python'} -m pip install --no-deps --report " in done.stdout
    remembered = yaml.safe_load((fresh.folder / "choices/plugins.yaml").read_text())["installed"]
    assert set(remembered) == {f"stranger-{dist}" for dist in [*cases, "well"]}

    listed = fresh.diffx("plugins", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["distribution"]: row for row in json.loads(listed.stdout) if row["distribution"] != "diffx-suite"}
    for dist, (name, _, _, cause, by_listing) in cases.items():
        row, label = rows[f"stranger-{dist}"], f"plugin '{name}' (stranger-{dist} 1.2)"
        assert (row["name"], row["version"], row["usable"]) == (name, "1.2", not by_listing)
        assert (cause in row["state"]) == by_listing, row
        assert (f"diffx: error: {label}: " in done.stderr) == by_listing, done.stderr
        if name == "mri_synth":
            continue  # the name is ours, and means ours
        ran = fresh.diffx("run", f"plugin={name}")
        (line,) = ran.stderr.splitlines()[-1:]
        label = r"plugin '{}' \(stranger-{} 1.2\)".format(name, "twin." if name == "twin" else dist)
        assert ran.returncode == 3 and re.search(label, line) and cause in line, ran.stderr
        for verb in ("info", "list"):
            assert fresh.diffx("plugins", verb, *[name] * (verb == "info")).returncode == (
                3 if by_listing and verb == "info" else 0
            )

    # nothing else is harmed: ours, a stranger's, and what needs no plugin
    for words in (
        ["--help"],
        ["weights", "list"],
        ["config", "show", "plugin=mri_synth"],
        ["run", "plugin=well", "size=2"],
        ["plugins", "check", "well"],
    ):
        assert fresh.diffx(*words).returncode == 0, words
    # blocked, though nobody could import it
    blocked = fresh.diffx("plugins", "block", "importing", "divides", "by", "zero")
    assert blocked.returncode == 0, blocked.stderr
    for words in (["run", "plugin=importing"], ["run", "plugin=well", "extensions=importing"]):
        ran = fresh.diffx(*words)
        assert ran.returncode == 3
        assert ran.stderr == ("diffx: error: plugin 'importing' (stranger-importing 1.2): blocked: divides by zero\n")
    again = fresh.diffx("plugins", "install", str(wheels[0]))
    assert again.returncode == 3 and "stranger-importing is blocked: divides by zero" in again.stderr
    assert fresh.diffx("plugins", "unblock", "importing").returncode == 0

    # and each of them can be removed; of a name that two have, by its distribution
    refused = fresh.diffx("plugins", "remove", "twin")
    assert refused.returncode == 3 and "stranger-twina and stranger-twinb bring a plugin 'twin'" in refused.stderr
    names = [f"stranger-{dist}" for dist in ("twina", "thief", "manifest")] + ["importing", "raising", "api"]
    removed = fresh.diffx("plugins", "remove", *names)
    assert removed.returncode == 0, removed.stdout + removed.stderr
    left = {row["distribution"]: row for row in json.loads(fresh.diffx("plugins", "list", "--json").stdout)}
    assert set(left) == {"diffx-suite", "stranger-twinb", "stranger-well"}
    assert left["stranger-twinb"]["usable"]
    remembered = yaml.safe_load((fresh.folder / "choices/plugins.yaml").read_text())["installed"]
    assert set(remembered) == {"stranger-twinb", "stranger-well"}


def test_plugins_that_are_single_files_share_a_folder(fresh: Fresh) -> None:
    """Two from wheels, whose diffx.yaml lies in the dist-info of the one and in site-packages for the other, and one in
    place. Each is found without being imported, and what is edited in place counts at once."""
    folder = fresh.folder / "single"
    for name, where in (
        ("tides", 'only-include = ["tides.py"]\nextra-metadata = {"diffx.yaml" = "diffx.yaml"}'),
        ("swell", 'only-include = ["swell.py", "diffx.yaml"]'),
        ("surf", 'only-include = ["surf.py"]\n\n[tool.hatch.build]\ndev-mode-dirs = ["."]'),
    ):
        single = project(folder, name, plugin=PLUGIN.replace("from stranger_{name}.config import Config", CONFIG))
        package = single / f"stranger_{name}"
        (single / f"{name}.py").write_text(
            "import sys\nprint('imported', file=sys.stderr)\n" + (package / "plugin.py").read_text()
        )
        text = (package / "diffx.yaml").read_text().replace(f"stranger_{name}.plugin", name)
        (single / "diffx.yaml").write_text(text.replace(f"    config: stranger_{name}.config:Config\n", ""))
        shutil.rmtree(package)
        toml = (single / "pyproject.toml").read_text().replace(f"stranger_{name}.plugin", name)
        (single / "pyproject.toml").write_text(toml.replace(f'packages = ["stranger_{name}"]', where))
    wheels = build_wheels([folder / "tides", folder / "swell"], folder / "wheels")
    done = fresh.diffx("plugins", "install", *map(str, wheels), "-e", str(folder / "surf"), "--", "--no-deps")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = fresh.diffx("plugins", "list", "--json")
    states = {row["name"]: row["state"] for row in json.loads(listed.stdout)}
    assert [states[name] for name in ("tides", "swell", "surf")] == ["ready"] * 3 and not listed.stderr
    manifest = folder / "surf/diffx.yaml"
    manifest.write_text(manifest.read_text().replace("a stranger's plugin", "as edited"))
    assert "as edited" in fresh.diffx("plugins", "info", "surf").stdout
    for name in ("tides", "swell", "surf"):
        ran = fresh.diffx("run", f"plugin={name}", "size=2")
        assert ran.returncode == 0 and "imported" in ran.stderr, ran.stderr
    removed = fresh.diffx("plugins", "remove", "tides", "swell", "surf")
    assert removed.returncode == 0, removed.stderr


def test_what_was_installed_survives_a_rebuild(fresh: Fresh) -> None:
    folder = fresh.folder / "rebuild"
    kept = project(folder, "kept")
    (wheel,) = build_wheels([project(folder, "gone")], folder / "wheels")
    plain = project(folder, "plain")
    entry = re.compile(r"\[project.entry-points.diffx\]\n.*\n")
    (plain / "pyproject.toml").write_text(entry.sub("", (plain / "pyproject.toml").read_text()))
    fresh.environment["DIFFX_CONFIG"] = str(folder / "choices")

    bare = fresh.run(str(fresh.bin / "diffx"), "plugins", "install", "kept", cwd=folder)
    assert bare.returncode == 2 and "kept is a folder here: write ./kept for it" in bare.stderr
    done = fresh.run(
        str(fresh.bin / "diffx"), "plugins", "install", "./kept", str(wheel), "--", "--no-deps", cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = fresh.diffx("plugins", "install", str(plain), "--", "--no-deps")
    assert wrong.returncode == 3 and "stranger-plain is installed, but brings no plugin" in wrong.stderr
    nobody = fresh.diffx("plugins", "install", "surely-not-on-any-index")
    assert nobody.returncode == 3 and "pip could not install surely-not-on-any-index" in nobody.stderr

    # the environment is made anew: as if nothing had been installed; one wheel has gone in the meantime
    fresh.python("-m", "pip", "uninstall", "-y", "stranger-kept", "stranger-gone", "stranger-plain")
    wheel.unlink()
    listed = fresh.diffx("plugins")
    assert "remembered, but not here: stranger-gone, stranger-kept (diffx plugins install --restore)" in listed.stdout
    restored = fresh.diffx("plugins", "install", "--restore", "--", "--no-deps")
    assert restored.returncode == 3
    assert f"stranger-gone: pip could not install {wheel}" in restored.stderr
    assert fresh.diffx("run", "plugin=kept", "size=3").returncode == 0
    forgotten = fresh.diffx("plugins", "remove", "stranger-gone", "kept")  # the one is not even here
    assert forgotten.returncode == 0, forgotten.stderr
    assert yaml.safe_load((folder / "choices/plugins.yaml").read_text())["installed"] == {}
    assert kept.is_dir()


def test_weights_for_research_are_installed_by_themselves(fresh: Fresh) -> None:
    asked = ["run", "plugin=mri_translate", f"data.root={fresh.work}", "source=FLAIR", "target=T1ce"]
    lacking = fresh.diffx(*asked)
    assert lacking.returncode == 5, lacking.stderr
    line = "diffx: error: weights 'mri-translate-lgg': not installed: pip install diffx-weights-research"
    assert lacking.stderr.splitlines().count(line) == 1, lacking.stderr
    listed = {row["id"]: row for row in json.loads(fresh.diffx("weights", "list", "--json").stdout)}
    assert listed["mri-translate-lgg"]["installed"] is False

    (wheel,) = build_wheels([ROOT / "weights/diffx-weights-research"], fresh.folder / "research")
    done = fresh.diffx("plugins", "install", str(wheel), "--", "--no-deps")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^mri-translate-lgg +diffx-weights-research +CC BY-NC-SA 4.0", done.stdout, re.M)
    assert fresh.diffx("weights", "verify", "mri-translate-lgg").returncode == 0
    listed = {row["id"]: row for row in json.loads(fresh.diffx("weights", "list", "--json").stdout)}
    facts = listed["mri-translate-lgg"]
    assert facts["licence"].startswith("CC BY-NC-SA 4.0, research use only") and facts["plugin"] == "mri_translate"
    assert Path(facts["path"]).is_relative_to(fresh.folder / "venv")
    assert "not installed" not in fresh.diffx(*asked).stderr
    assert "remembered, but not here" not in fresh.diffx("plugins").stdout
    removed = fresh.diffx("plugins", "remove", "diffx-weights-research")
    assert removed.returncode == 0, removed.stderr
    assert fresh.diffx("weights", "verify", "mri-translate-lgg").returncode == 5


@pytest.mark.parametrize(
    "text, cause",
    [
        ("blocked: [\n", "plugins.yaml:2: "),
        ("blocked: {x: [1]}", "blocked: x: expected one line that says why"),
        ("blokced: {}", "expected the mappings 'installed' and 'blocked'"),
        ("installed: {x: y}", "installed: x: expected a list of words for pip"),
    ],
)
def test_a_list_that_cannot_be_read_unblocks_nobody(strangers, text: str, cause: str) -> None:
    strangers.add("one")
    choices = Path(f"{strangers.folder}-choices/plugins.yaml")
    choices.parent.mkdir()
    choices.write_text(text)
    for words in (["plugins"], ["run", "plugin=one"], ["plugins", "unblock", "one"]):
        done = strangers.diffx(*words)
        assert done.returncode == 3 and str(choices) in done.stderr and cause in done.stderr, done.stderr
    assert strangers.diffx("--help").returncode == 0
    assert choices.read_text() == text


def test_a_block_is_kept_whatever_its_reason(strangers) -> None:
    strangers.add("one")
    reason = 'null: "yes"\n#no'
    assert strangers.diffx("plugins", "block", "one", reason).returncode == 0
    state = strangers.diffx("plugins", "info", "one")
    assert state.returncode == 3 and 'blocked: null: "yes" #no' in state.stdout
    assert strangers.diffx("plugins", "block", "ona").stdout.endswith("did you mean 'one'?\n")
    assert strangers.diffx("plugins", "unblock", "one").returncode == 0
    assert strangers.diffx("plugins", "info", "one").returncode == 0
