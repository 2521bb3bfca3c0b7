"""Every table and figure of the paper beside ours: rethink-tf report --all

Reads run directories and the runs that this project has measured (`measured/`), writes Markdown,
CSV, PNG, PDF and one self-contained page. Imports no TensorFlow.
"""
