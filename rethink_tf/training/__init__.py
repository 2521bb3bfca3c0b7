"""One run: prepare data, build, resume, train, evaluate, finish."""
