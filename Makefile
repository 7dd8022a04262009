# A thin front: each target is a script in ci/. Settings: LINUX= (your own 7.3
# tree or tarball), JOBS=, TREE= (where 'make tree' works), MOF_CACHE=.

TOPO ?= 2n
REV ?= patched
CONFIG ?= base
export LINUX JOBS TREE MOF_CACHE CMD SOB PREFIX TORTURE DEBUG_KERNEL
unexport MAKEFLAGS MFLAGS

.PHONY: help
help:
	@echo 'make demo       pages moving between nodes, with and without the series'
	@echo 'make test       all checks and tests; last line: N passed, N failed, N skipped'
	@echo
	@echo 'make tree       a git tree with the series as commits; N= for the first N'
	@echo 'make refresh    its commits back into patches/ and series'
	@echo 'make sync       selftests/ into the patch that adds them'
	@echo 'make build      a kernel: CONFIG=$(CONFIG) REV=$(REV) (base, patched, or a number)'
	@echo 'make shell      a guest to look around in: TOPO=$(TOPO) REV=$(REV)'
	@echo 'make boot       a guest that runs CMD= and ends: TOPO=$(TOPO) REV=$(REV)'
	@echo 'make bench      instructions that the series costs and saves; BENCH=short: sooner'
	@echo 'make report     a page of what the last runs found, out/report.html'
	@echo 'make jobs       all of it as jobs, a command a line, to spread over machines'
	@echo 'make torture    everything at once to the same memory: SECONDS= SEED= TOPO= CONFIG='
	@echo 'make test-debug    selftest and torture on a kernel with KASAN, lockdep and more'
	@echo 'make test-kcsan     torture under KCSAN, base and patched, compiled by Clang: SECONDS= SEED='
	@echo 'make test-others    the kernel'"'"'s own selftests of memory, on base and patched'
	@echo 'make test-cocci     the kernel'"'"'s coccicheck on the files that the series touches'
	@echo 'make test-builds    other architectures, Clang, more options; ROWS= for some of them'
	@echo 'make test-inject   torture while allocations fail: SECONDS= SEED= TOPO= CONFIG='
	@echo 'make docs       the documents that the series touches, rendered; new warnings fail'
	@echo 'make checks     the static checks alone; CHECK= for some of them'
	@echo 'make series-check   is the series fit to be posted? what is missing, to whom it goes'
	@echo 'make send-dry-run   its mails into out/mails, sent nowhere; SOB="Your Name <mail>"'
	@echo 'make cover      figures and layout of the cover letters anew, after make bench'
	@echo 'make runtime    the selftest alone, on all topologies or on TOPOS=, with CONFIG='
	@echo 'make expected   ci/expected/ anew from a run, to be read and committed'
	@echo 'make deps       the Debian packages that all this needs'
	@echo 'make clean      out/ and what was built; the base source and the tree stay'
	@echo 'make distclean  the whole cache'
	@echo
	@echo 'LINUX=/path/to/linux uses your own 7.3 tree (git or not) or tarball; it is only read.'
	@echo 'Topologies: $(basename $(notdir $(wildcard configs/topologies/*.topo)))'
	@echo 'Configs:    $(basename $(notdir $(wildcard configs/*.config)))'
	@echo 'Rows of test-builds: $(basename $(notdir $(wildcard configs/builds/*.config)))'

.PHONY: deps demo test tree refresh sync build shell boot bench report jobs torture test-debug test-inject
.PHONY: test-kcsan test-others test-builds test-cocci docs
.PHONY: checks runtime expected clean distclean series-check send-dry-run cover
deps:
	@ci/deps.sh
demo:
	@ci/demo.sh
test:
	@ci/test.sh
tree: deps
	@ci/tree.sh '$(N)'
refresh: deps
	@ci/refresh.sh
sync: deps
	@ci/sync.sh
build: deps
	@ci/build.sh '$(CONFIG)' '$(REV)'
shell: deps
	@ci/shell.sh '$(TOPO)' '$(CONFIG)' '$(REV)'
boot: deps
	@ci/run.sh '$(TOPO)' '$(REV)' "$$CMD"
bench:
	@ci/bench.sh
report: deps
	@ci/report.sh
jobs:
	@ci/jobs.sh
torture: deps
	@ci/torture.sh $(TOPO) $(CONFIG) $(REV) $(or $(SECONDS),300) $(or $(SEED),0) $(OPTIONS)
test-debug: deps
	@ci/test-debug.sh $(or $(SECONDS),300) $(SEED)
test-inject: deps
	@TOPO=$(TOPO) CONFIG=$(if $(filter file,$(origin CONFIG)),debug,$(CONFIG)) ci/test-inject.sh $(or $(SECONDS),20) $(SEED)
test-kcsan: deps
	@TOPO=$(TOPO) ci/test-kcsan.sh $(or $(SECONDS),300) $(SEED)
docs: deps
	@ci/docs.sh
test-others: deps
	@TOPO=$(TOPO) CONFIG=$(CONFIG) ci/test-others.sh
test-builds: deps
	@ci/test-builds.sh $(ROWS)
test-cocci: deps
	@ci/test-cocci.sh
checks: deps
	@ci/checks.sh $(CHECK)
series-check: deps
	@ci/series-check.sh
send-dry-run: deps
	@ci/send-dry-run.sh
cover: deps
	@ci/cover.sh
runtime: deps
	@CONFIG=$(CONFIG) ci/run-tests.sh $(TOPOS)
expected: deps
	@ci/run-tests.sh --write
clean:
	@ci/clean.sh
distclean:
	@ci/clean.sh all
