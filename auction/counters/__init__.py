"""Caps, holds, rate limits and open pings on Valkey: one Lua script for each atomic step."""
