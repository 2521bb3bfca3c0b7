"""The pages that build_docs_pages.py writes."""
