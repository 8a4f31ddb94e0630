"""Kinds of data: each says in one file how its samples are recognised, read and described."""
