# Everything runs in the project's own virtual environment; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A file that pins versions, such as constraints.txt; empty for the newest within the bounds.
CONSTRAINTS ?=

.PHONY: demo docs newcomer test test-long mutants lowest test-cpp test-bindings test-c test-arm test-ray fuzz fuzz-c attack serve-load soak licences schemas lint format clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' \
		$(if $(CONSTRAINTS),-c $(CONSTRAINTS))
	touch $@

# The main job on the embedded model: convert, verify, benchmark, find faces in a photograph.
demo: $(STAMP)
	$(BIN)/ultraface-deploy convert slim-320 --to all -o artifacts/slim-320
	$(BIN)/ultraface-deploy verify artifacts/slim-320
	$(BIN)/ultraface-deploy bench artifacts/slim-320 --backend all --threads 1,2
	$(BIN)/ultraface-deploy detect ultraface_deploy/photos/astronaut.jpg --model artifacts/slim-320 \
		--backend mnn -o artifacts/demo.jpg
	@echo 'The marked photograph: artifacts/demo.jpg'

# Compiled modules are kept whatever the environment says: hundreds of children import them.
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not native and not ray and not long'

# The long forms of what `test` samples: every published checkpoint on all of dev, larger inputs, and
# a thousand examples of each property, others each time.
test-long: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'long or hypothesis' --hypothesis-profile long

# The first ten minutes of a maker, an engineer and a researcher, in fresh environments.
USERS ?= maker engineer researcher
newcomer:
	$(PYTHON) tests/newcomer/play.py $(USERS)

# The suite with the lowest versions that pyproject.toml allows; PYTHON must be a Python 3.11.
lowest:
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

# The C++ project, built against ncnn's sources (2.5 minutes the first time), here and for Arm.
test-cpp: $(STAMP)
	ULTRAFACE_BUILD_RUNTIMES=1 $(BIN)/python -m pytest tests/sdk --ignore tests/sdk/test_bindings.py

# The library for other languages, each with its own compiler, which apt brings where it is missing.
# ONLY='csharp or java' tests those alone.
test-bindings: $(STAMP)
	@missing=$$($(BIN)/python -m tests.sdk.missing); [ -z "$$missing" ] || \
		(set -x; apt-get install -y -qq --no-install-recommends $$missing >/dev/null)
	$(BIN)/python -m pytest tests/sdk/test_bindings.py $(if $(ONLY),-k '$(ONLY)')

# The C detector on emulated processors of other kinds, and under every warning. Debian's packages:
# qemu-user qemu-system-arm clang libclang-rt-dev nodejs gcc-arm-none-eabi libnewlib-arm-none-eabi, and
# gcc-{aarch64,riscv64,s390x}-linux-gnu gcc-arm-linux-gnueabihf with their libc6-dev.
test-c: $(STAMP)
	$(BIN)/python -m pytest tests/converters/c

# Ray: two nodes on this machine, workers and a node killed; installs the extra first. Three minutes
# beside other work, fifteen at most.
test-ray: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,ray]' \
		$(if $(CONSTRAINTS),-c $(CONSTRAINTS))
	timeout -k 30 900 $(BIN)/python -m pytest -m ray tests/integrations

# Artifacts on emulated Arm cores (Pi 3, 4, 5); the set-up says what it downloads, once.
# ONLY=published_int8 runs the tests of that name alone.
CORES ?= cortex-a53,cortex-a72,cortex-a76
test-arm: $(STAMP)
	$(BIN)/ultraface-deploy bench count --setup
	ARM_CORES=$(CORES) $(BIN)/python -m pytest -n 2 tests/bench/count $(if $(ONLY),-k '$(ONLY)')

# Damaged files for every reader, kills at random moments: hours. The suite has a short run of each.
fuzz: $(STAMP)
	nice -n 15 $(BIN)/python -m tests.fuzz.campaign --files 10000
	for command in convert pull prepare eval train detect; do \
		nice -n 15 $(BIN)/python -m tests.faults.kill --command $$command || exit 1; done

# Whether anything opens a socket within 40 seconds: every runtime, format and package, in this
# process, in a child, over --host; whether ONNX operators that claim gigabytes or hours get them.
# Needs strace; half an hour.
attack: $(STAMP)
	nice -n 5 $(BIN)/python -m tests.faults.watch
	nice -n 5 $(BIN)/python -m pytest -q tests/faults/operators.py

# Two hundred clients of `serve` for a minute, then 10,000 damaged pictures.
serve-load: $(STAMP)
	nice -n 5 $(BIN)/python -m tests.serve.load

# Random pictures for the C detector under the sanitizers of gcc and clang; MINUTES=60 is an hour.
PICTURES ?= 10000
fuzz-c: $(STAMP)
	nice -n 15 $(BIN)/python -m tests.fuzz.pictures --pictures $(PICTURES) \
		$(if $(MINUTES),--minutes $(MINUTES))

# Each guard of tests/mutants.py taken away in a copy: the test file beside it must fail. 15 minutes.
mutants: $(STAMP)
	nice -n 15 $(BIN)/python -m tests.mutants

# Whether memory grows in a million inferences: ten minutes per runtime, torch hours.
soak: $(STAMP)
	$(BIN)/ultraface-deploy convert slim-320 --to all --input-size 64x64 -o build/soak
	nice -n 15 $(BIN)/python -m tests.faults.soak build/soak

# The site in build/site; it loads nothing from elsewhere, when built or when read.
docs: $(STAMP)
	$(BIN)/python docs/make_commands.py
	$(BIN)/python -m mkdocs build

# What is installed, under which licences.
licences: $(STAMP)
	$(PYTHON) -m venv build/licences
	build/licences/bin/python -m pip install --quiet --disable-pip-version-check pip-licenses
	build/licences/bin/pip-licenses --python=$(BIN)/python --format=markdown --order=name

# The JSON Schemas of manifests and results, made from the records that read and write them.
schemas: $(STAMP)
	$(BIN)/python -m ultraface_deploy.cli.schemas docs

# mypy follows no import hooks, so it checks the package as it is laid out when installed.
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lint
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/lint .
	cd build/lint && MYPYPATH=. ../../$(BIN)/mypy --cache-dir ../../.mypy_cache --config-file ../../pyproject.toml -p ultraface_deploy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-lowest build artifacts *.egg-info
