#!/usr/bin/env bash
# All tests, Rust's and Python's. Needs rustup's stable toolchain, Python 3.10 or newer and a C compiler.
set -euo pipefail
cd "$(dirname "$0")"
unset CARGO_TARGET_DIR

# Says before an hour of compiling what would fail after it.
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "test.sh: Python 3.10 or newer is needed, as \`python3\` or in the variable PYTHON" >&2
    exit 1
}
venv=$PWD/target/python-venv
# A virtual environment whose Python has gone, or was never finished, is made anew.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv" || {
    echo "test.sh: \`$python -m venv\` failed; on Debian the package is python3-venv" >&2
    exit 1
}

cargo test -p bailiwick -p bailiwick-python --features cli
# Threads in every order.
cargo test -p bailiwick-orders
# Bugs put in on purpose are found.
cargo test -p bailiwick -p bailiwick-python --features cli,bailiwick/deliberate-bugs --test it deliberate_bugs

"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r bindings/python/requirements-test.txt
# With the profile and the features of the tests, so that nothing is compiled twice.
rm -rf target/python-wheels
"$venv/bin/maturin" build --quiet --manifest-path bindings/python/Cargo.toml --interpreter "$venv/bin/python" \
    --profile dev --features bailiwick/cli --compatibility linux --out target/python-wheels
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
    target/python-wheels/*.whl

cd bindings/python
"$venv/bin/python" -m pytest
"$venv/bin/python" -m mypy.stubtest bailiwick
"$venv/bin/python" -m mypy
"$venv/bin/python" -m mypy -p bailiwick

# What a test could not do is said last, where it is seen.
if [ -s ../../target/not-run.txt ]; then
    cat ../../target/not-run.txt
fi
