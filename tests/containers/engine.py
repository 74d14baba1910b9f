"""The Docker engine that tests use: this machine's (PACKETBOAT_ENGINE=system), or the one of engine.sh."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("engine.sh")
IMAGES = ("cli", "mta", "relay", "mda", "access", "admin", "resolver")
SCANNERS = ("rspamd", "clamav")
VERSION = "test"
WORLD = "packetboat-world"
WORLD4, WORLD6 = "172.30.99", "fd25:587:999"


class Engine:
    """Runs `docker`; `own` says that we have started it and have to stop it."""

    def __init__(self) -> None:
        self.own = os.environ.get("PACKETBOAT_ENGINE") != "system"
        self._docker = "docker"
        self._env: dict[str, str] = {"DOCKER_BUILDKIT": "1"}

    def start(self) -> None:
        """Start the engine, make the images that our files name and our own."""
        if self.own:
            steps = subprocess.run(
                [str(SCRIPT), "install", "start", "images"], check=True, capture_output=True, text=True
            ).stdout
            self._docker = "/usr/bin/docker"
            self._env["DOCKER_HOST"] = next(line for line in steps.split() if line.startswith("unix://"))
        self.build(VERSION)
        self.run("network", "rm", WORLD, check=False)
        v4 = ["--subnet", f"{WORLD4}.0/24", "--gateway", f"{WORLD4}.1", "--ip-range", f"{WORLD4}.128/25"]
        self.run("network", "create", "--ipv6", *v4, "--subnet", f"{WORLD6}::/64", WORLD)

    def stop(self) -> None:
        """Remove what we made; stop the engine if it is ours."""
        self.run("network", "rm", WORLD, check=False)
        if self.own and os.environ.get("PACKETBOAT_ENGINE") != "keep":
            subprocess.run([str(SCRIPT), "stop"], check=True)

    def build(self, version: str, context: Path = REPOSITORY, images: Iterable[str] = IMAGES) -> None:
        """Build images with this tag: every one that a stack without profiles needs, or those named."""
        for image in images:
            self.run("build", "-q", "-f", "deploy/Dockerfile", "--target", image, "-t", f"packetboat/{image}:{version}",
                     ".", cwd=context, timeout=900)  # fmt: skip

    def run(
        self,
        *arguments: str,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        cwd: Path = REPOSITORY,
        timeout: float = 300,
    ) -> str:
        """Run `docker …`; return its standard output, AssertionError with the other if it fails."""
        done = subprocess.run(
            [self._docker, *arguments],
            env=os.environ | self._env | (env or {}),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout
