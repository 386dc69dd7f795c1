"""What is traded: fields, filters, hours, caps' windows, and the compiled market that an auction runs against. PURE."""
