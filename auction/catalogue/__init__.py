"""The catalogue as it is written: files read with every mistake named, kept as documents, compared, written. PURE."""
