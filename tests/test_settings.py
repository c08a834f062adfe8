"""`--set KEY=VALUE`: what is typed becomes what the field is, or is refused in one line."""

from __future__ import annotations

import pytest

from wavevae.config import RunConfig, override, parse_settings
from wavevae.errors import UserError


@pytest.mark.parametrize("typed", ["ratios=4,2", "ratios=[4, 2]", "ratios=(4,2)", "model.ratios=4,2"])
def test_lists_as_they_are_typed(typed: str) -> None:
    assert override(RunConfig(), parse_settings([typed])).model.ratios == (4, 2)


@pytest.mark.parametrize(("typed", "said"), [("ratios=4,b", "like 4,4"), ("latent_dim=many", "int")])
def test_what_does_not_fit_is_refused_with_what_would(typed: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        override(RunConfig(), parse_settings([typed]))
