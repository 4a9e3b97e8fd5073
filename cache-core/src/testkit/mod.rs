//! For tests: backend suites for authors, a simulated far tier, fault injection.
