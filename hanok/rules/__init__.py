"""Rules of export control and of AI law as data, and where a chip or a system stands under them."""

from hanok.rules.assess import NOT_LEGAL_ADVICE, NOT_LEGAL_ADVICE_KO, Assessment, assess
from hanok.rules.errors import RulesError
from hanok.rules.load import builtin_packs, load_pack
from hanok.rules.pack import Pack, Rule

__all__ = [
    "NOT_LEGAL_ADVICE",
    "NOT_LEGAL_ADVICE_KO",
    "Assessment",
    "Pack",
    "Rule",
    "RulesError",
    "assess",
    "builtin_packs",
    "load_pack",
]
