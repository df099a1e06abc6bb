"""The emulated machine: a small Debian for arm64 and aarch64 wheels, in the user's cache folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.bench.layout import NEEDED
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.files import make_folder, write_text
from ultraface_deploy.safe.toolbox import alone

# Arm's main ID register values, as Linux shows them in /proc/cpuinfo. Runtimes choose their
# kernels by these: they must name the core that qemu emulates.
CORES = {"cortex-a53": 0xD03, "cortex-a72": 0xD08, "cortex-a76": 0xD0B}
_FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_A76_FEATURES = f"{_FEATURES} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"

PROGRAMS = {
    "qemu-aarch64": "qemu-user",
    "mmdebstrap": "mmdebstrap",
    "cc": "gcc",
}
_DEBIAN = ("python3.11", "libstdc++6", "libgomp1", "zlib1g")
_PYTHON = "3.11"
_PLATFORMS = ("2_35", "2_34", "2_31", "2_28", "2_27", "2_17")
_SETUP = "ultraface-deploy bench count --setup"
_DONE = "wheels.json"
_TIMEOUT_S = 600

Report = Callable[[str], None]


@dataclass(frozen=True)
class Sysroot:
    """Where the emulated machine lies."""

    path: Path

    @classmethod
    def default(cls) -> Sysroot:
        """Return the one in the user's cache folder."""
        from platformdirs import user_cache_path

        return cls(user_cache_path("ultraface-deploy") / "arm")

    @property
    def root(self) -> Path:
        """Debian's files."""
        return self.path / "root"

    @property
    def site(self) -> Path:
        """The aarch64 Python packages."""
        return self.path / "site"

    def versions(self) -> dict[str, str]:
        """Return the versions of the aarch64 packages.

        Raises:
            MissingDependency: the machine has not been set up; says how.
        """
        done = self.path / _DONE
        if not done.is_file():
            raise MissingDependency(
                f"no emulated Arm machine in {self.path}; set it up once with: {_SETUP} "
                "(it says what it will download first)"
            )
        versions: dict[str, str] = json.loads(done.read_text())
        if "msgspec" not in versions:
            raise MissingDependency(
                f"the emulated Arm machine in {self.path} lacks msgspec; renew it with: {_SETUP}"
            )
        return versions

    def view(self, core: str, folder: Path) -> Path:
        """Make a root that shows one kind of core: links to Debian's files, its own cpuinfo.

        What it does not hold, QEMU looks for on this machine: /tmp and the user's files are real.
        """
        view = show_core(core, folder / core)
        for name in ("bin", "etc", "lib", "usr"):
            (view / name).symlink_to(self.root / name)
        return view


def show_core(core: str, root: Path) -> Path:
    """Make a root that shows one kind of core, by which runtimes choose their kernels."""
    make_folder(root / "proc")
    write_text(root / "proc/cpuinfo", cpuinfo(core))
    return root


def cpuinfo(core: str) -> str:
    """Return what Linux shows for four cores of a kind.

    Raises:
        InputError: the kind is unknown.
    """
    if core not in CORES:
        raise InputError(f"core {core!r} is unknown; choose from {', '.join(CORES)}")
    features = _A76_FEATURES if core == "cortex-a76" else _FEATURES
    return "".join(
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
        f"CPU part\t: {CORES[core]:#x}\nCPU revision\t: 3\n\n"
        for number in range(4)
    )


def missing_programs() -> list[str]:
    """Return the Debian packages of the programs that are not installed."""
    return [package for program, package in PROGRAMS.items() if shutil.which(program) is None]


def require_programs() -> None:
    """Refuse to go on without the programs, and on a QEMU whose plugins are another kind.

    Raises:
        MissingDependency: says what to install.
    """
    if packages := missing_programs():
        raise MissingDependency(
            f"emulating Arm needs {', '.join(packages)}: sudo apt-get install "
            f"--no-install-recommends {' '.join(packages)}, then {_SETUP}"
        )
    answer = subprocess.run(
        ["qemu-aarch64", "--version"], capture_output=True, text=True, check=False
    ).stdout.split()
    major = int(answer[2].partition(".")[0]) if len(answer) > 2 else 0
    if not 5 <= major <= 8:
        raise MissingDependency(
            f"qemu-aarch64 {major} has another plugin interface; install 5 to 8 (Debian 12 has 7.2)"
        )


def describe_setup(sysroot: Sysroot) -> str:
    """Say what `set_up` will install and download."""
    packages = missing_programs()
    apt = f"installs with apt-get: {', '.join(packages)} (up to 200 MB); " if packages else ""
    return (
        f"{apt}downloads Debian 12 for arm64 ({', '.join(_DEBIAN)}, about 15 MB) and aarch64 "
        f"wheels ({', '.join(wheel_requirements())}, about 90 MB) into {sysroot.path} (400 MB)"
    )


def wheel_requirements() -> list[str]:
    """Return the packages of the emulated machine, in the versions that are installed here."""
    found = []
    wheels = (wheel for name in emulated_backends() for wheel in get_backend(name).wheels)
    for name in dict.fromkeys((*NEEDED.values(), *wheels)):
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return found


def emulated_backends() -> list[str]:
    """Return the names of the backends that have wheels for the emulated machine."""
    return [name for name in backend_names() if get_backend(name).wheels]


def require_emulated(names: Sequence[str]) -> None:
    """Refuse backends that cannot run on the emulated machine.

    Raises:
        InputError: says which one, and which can.
    """
    for name in names:
        if not get_backend(name).wheels:
            raise InputError(
                f"`backend` {name}: does not run on an emulated core, for want of an aarch64 "
                f"wheel; choose from {', '.join(emulated_backends())}"
            )


def is_current(sysroot: Sysroot) -> bool:
    """Whether the machine is set up with the versions that are installed here."""
    try:
        require_programs()
        return sysroot.versions() == _wanted()
    except MissingDependency:
        return False


def set_up(sysroot: Sysroot, report: Report = lambda message: None) -> None:
    """Download and unpack the emulated machine; an older one is replaced when all is done.

    Of two runs at once the second waits for what the first one makes.

    Raises:
        MissingDependency: programs are missing and this is not root, who could install them.
        ToolFailed: a download failed.
    """
    make_folder(sysroot.path.parent, "XDG_CACHE_HOME")
    with alone(sysroot.path, report) as scratch:
        if is_current(sysroot):
            return
        packages = missing_programs()
        if packages and os.geteuid() == 0 and shutil.which("apt-get"):
            report(f"installing {', '.join(packages)}")
            run_tool(["apt-get", "update", "-qq"])
            run_tool(["apt-get", "install", "-y", "--no-install-recommends", *packages])
        require_programs()
        new = Sysroot(scratch / "arm")
        new.path.mkdir()
        report("downloading Debian for arm64")
        run_tool(_debian_command(new.root))
        report("downloading aarch64 wheels")
        run_tool(_wheels_command(new.site))
        write_text(new.path / _DONE, json.dumps(_wanted(), indent=2) + "\n")
        shutil.rmtree(sysroot.path, ignore_errors=True)
        new.path.rename(sysroot.path)


def _wanted() -> dict[str, str]:
    return dict(item.split("==") for item in wheel_requirements())


def _debian_command(root: Path) -> list[str]:
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        "--architectures=arm64",
        f"--include={','.join(_DEBIAN)}",
        "bookworm",
        str(root),
    ]


def _wheels_command(site: Path) -> list[str]:
    tags = [f"manylinux_{glibc}_aarch64" for glibc in _PLATFORMS] + ["manylinux2014_aarch64", "any"]
    abis = (f"cp{_PYTHON.replace('.', '')}", "abi3", "none")
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)),
        *("--only-binary=:all:", "--no-deps", "--implementation", "cp"),
        *("--python-version", _PYTHON),
        *(word for abi in abis for word in ("--abi", abi)),
        *(word for tag in tags for word in ("--platform", tag)),
        *wheel_requirements(),
    ]


def run_tool(command: Sequence[str]) -> None:
    """Run a program found on the path.

    Raises:
        MissingDependency: there is none of that name.
        ToolFailed: it failed; carries its last line.
    """
    program = shutil.which(command[0])
    if program is None:
        raise MissingDependency(
            f"the program {command[0]} is not installed; install it with the system's packages"
        )
    name = Path(program).name
    run_program([program, *command[1:]], what=name, cwd=Path.cwd(), timeout=_TIMEOUT_S)
