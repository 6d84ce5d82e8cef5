"""Tests of behaviour that users rely on."""
