"""Importers: recordings of others become bags, by generic readers that mapping files drive.

A new data set costs a mapping file (``replay/mappings/*.toml``), not code, wherever a table can say what its columns mean.
:mod:`~replay.importer.members` opens files, directories and archives as streams, :mod:`~replay.importer.tables` and
:mod:`~replay.importer.gpx` make rows of them, :mod:`~replay.importer.clock` makes times, :mod:`~replay.importer.records` makes
wire records, :mod:`~replay.importer.load` sorts and counts. Every row in is a record out or a row skipped for a named reason.
"""
