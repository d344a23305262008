"""Programs from the Rust registry, built once into the cache."""

import os
import platform
import shutil
from pathlib import Path

from lab.cache import made_once
from lab.progress import StepError, run_step


def crate(name: str, version: str, *features: str) -> Path:
    """A layer for a host's file system with the programs of a crate; built first if need be.

    Without the crate's own lock file: its oldest dependencies no longer build.

    Args:
        name: the crate.
        version: exactly which.
        features: what to build instead of the crate's defaults; none: the defaults.

    Raises:
        StepError: it can't be had here.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise StepError(f"{name} {version} needs cargo (Rust), which is not installed")
    chosen = ("--no-default-features", f"--features={','.join(features)}") if features else ()

    def build(folder: Path) -> None:
        root, target = folder / "usr/local", folder / "target"
        command = [cargo, "install", name, f"--version={version}", *chosen]
        # What it makes is for hosts that have this machine's kind of C library.
        environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
        run_step(f"building {name} {version}", [*command, "--root", str(root)], env=environment)
        shutil.rmtree(target)
        for note in root.glob(".crates*"):
            note.unlink()

    return made_once(name, (name, version, *features, platform.machine()), build)
