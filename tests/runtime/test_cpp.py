"""The native code as a program: on an emulated ARM processor, and under sanitizers.

On Debian: apt-get install g++-aarch64-linux-gnu qemu-user
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARM = ("aarch64-linux-gnu-g++", "qemu-aarch64")
FREE = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def built(folder: Path, *options: str) -> Path:
    """Configure and build check.cpp with options for CMake."""
    source = ROOT / "tclip" / "runtime" / "cpp"
    check = ROOT / "tests" / "runtime" / "cpp" / "check.cpp"
    options = ("-DTCLIP_MODULE=OFF", f"-DTCLIP_CHECK={check}", *options)
    run(["cmake", "-S", str(source), "-B", str(folder), *options])
    run(["cmake", "--build", str(folder), "--parallel", "2", "--target", "tclip_check"])
    return folder / "tclip_check"


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=1000
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


@pytest.mark.toolchain
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", ["dotprod", "i8mm"])
def test_arm_agrees_under_emulation(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    require("cmake", *ARM)
    folder = tmp_path_factory.getbasetemp() / "arm"
    options = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={ARM[0]}",
    )
    program = built(folder, *options, "-DCMAKE_EXE_LINKER_FLAGS=-static")
    # a processor without int8 matrix products, and one with all there is
    processor = {"dotprod": "neoverse-n1", "i8mm": "max"}[path]
    said = run([ARM[1], "-cpu", processor, str(program)])
    assert said.split()[0] == path
    assert "all agree" in said


@pytest.mark.toolchain
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(tmp_path: Path, sanitizers: str) -> None:
    require("cmake", "g++")
    program = built(tmp_path, f"-DTCLIP_SANITIZE={sanitizers}", "-DCMAKE_CXX_FLAGS_RELEASE=-O1")
    assert "all agree" in run([str(program)], **FREE)
