"""Mapping files of public recordings, one per data set; `citywatch replay import --list` names them."""
