"""Stats as files: one module per format, each writes group by group and reads back what it wrote.

`writing.write_stats` and `reading.read_stats` are the ways in; `merging.merge` adds what was read.
"""
