"""A simulated sky with known redshifts, written as a Legacy Surveys tree."""

from xsaga.simulation.sky import SimulationSummary, simulate_sky

__all__ = ["SimulationSummary", "simulate_sky"]
