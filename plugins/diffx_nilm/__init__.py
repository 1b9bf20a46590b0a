"""Load disaggregation for diffx: from a household's mains to its appliances."""
