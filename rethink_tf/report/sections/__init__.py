"""The sections of a report, one file a group of tables and figures."""
