"""What we know of MLE-bench's competitions, for those without the package.

Columns, file names, metrics and checks are facts of openai/mle-bench
(mlebench/competitions/<id>/); where it is installed, its own graders and
leaderboards are used and this table only helps prompts.
"""

from __future__ import annotations

import dataclasses
import math

UNIT = ('unit',)
SUMS = ('unit', 'sums')


@dataclasses.dataclass(frozen=True)
class Metric:
  """How a metric is spoken of; the function is in scoring.METRICS."""

  title: str
  kind: str  # of the task: binary | multiclass | regression
  content: str  # of a submission's cells
  worst: float | None = None  # what no skill earns, where that is one figure
  numeric: bool = True  # cells are numbers


_PROBABILITY = 'the probability of the positive class'
METRICS = {
    'auc': Metric('ROC AUC', 'binary', _PROBABILITY, .5),
    'mean_auc': Metric('mean column-wise ROC AUC', 'multiclass',
                       'a probability per column', .5),
    'log_loss': Metric('log loss', 'binary', _PROBABILITY, math.log(2)),
    'multi_log_loss': Metric(
        'multi-class log loss', 'multiclass',
        'class probabilities, each row sums to 1 within 1e-6'),
    'accuracy': Metric('accuracy', 'multiclass', 'the class', 0., False),
    'text_accuracy': Metric(
        'accuracy', 'multiclass', 'the exact text', 0., False),
    'quadratic_kappa': Metric(
        'quadratic weighted kappa', 'multiclass',
        'the class, a whole number', 0., False),
    'rmse': Metric('root mean squared error', 'regression', 'a number'),
    'mean_rmsle': Metric('mean column-wise RMSLE', 'regression',
                         'a number above -1 per column'),
    'pearson': Metric('Pearson correlation', 'regression', 'a number', 0.),
    'jaccard': Metric('mean word-level Jaccard', 'regression', 'a text', 0.,
                      False),
}


@dataclasses.dataclass(frozen=True)
class Competition:
  """How the submissions of one are scored."""

  metric: str  # a key of METRICS
  id_column: str
  targets: tuple[str, ...]  # (): the answers' columns, all but the id
  checks: tuple[str, ...] = ()  # keys of scoring.CHECKS
  align: str = 'ids'  # a key of scoring.ALIGN
  answers: str = 'test.csv'  # below prepared/private
  label: str = ''  # of train.csv, where it is not the one target
  num_classes: int = 2
  leak: str = ''  # a public column that gives the label away


COMPETITIONS = {
    # The twelve of RL4MLE; the first eight are in the Lite set too.
    'detecting-insults-in-social-commentary': Competition(
        'auc', 'Comment', ('Insult',), UNIT),
    'random-acts-of-pizza': Competition(
        'auc', 'request_id', ('requester_received_pizza',), UNIT,
        leak='giver_username_if_known'),
    'tabular-playground-series-may-2022': Competition(
        'auc', 'id', ('target',), UNIT),
    'tabular-playground-series-dec-2021': Competition(
        'accuracy', 'Id', ('Cover_Type',)),
    'plant-pathology-2020-fgvc7': Competition(
        'mean_auc', 'image_id',
        ('healthy', 'multiple_diseases', 'rust', 'scab')),
    'leaf-classification': Competition(
        'multi_log_loss', 'id', (), SUMS, label='species', num_classes=99),
    'nomad2018-predict-transparent-conductors': Competition(
        'mean_rmsle', 'id', ('formation_energy_ev_natom', 'bandgap_energy_ev'),
        align='order'),
    'spooky-author-identification': Competition(
        'multi_log_loss', 'id', (), SUMS, label='author', num_classes=3),
    'learning-agency-lab-automated-essay-scoring-2': Competition(
        'quadratic_kappa', 'essay_id', ('score',), answers='answers.csv'),
    'tweet-sentiment-extraction': Competition(
        'jaccard', 'textID', ('selected_text',)),
    'us-patent-phrase-to-phrase-matching': Competition(
        'pearson', 'id', ('score',)),
    'lmsys-chatbot-arena': Competition(
        'multi_log_loss', 'id',
        ('winner_model_a', 'winner_model_b', 'winner_tie'),
        ('unit', 'sums_rounded'), answers='answers.csv', num_classes=3),
    # The rest of the Lite set.
    'aerial-cactus-identification': Competition(
        'auc', 'id', ('has_cactus',), UNIT),
    'aptos2019-blindness-detection': Competition(
        'quadratic_kappa', 'id_code', ('diagnosis',)),
    'denoising-dirty-documents': Competition(
        'rmse', 'id', ('value',), answers='answers.csv'),
    'dog-breed-identification': Competition(
        'multi_log_loss', 'id', (), SUMS, label='breed', num_classes=120),
    'dogs-vs-cats-redux-kernels-edition': Competition(
        'log_loss', 'id', ('label',), UNIT, answers='answers.csv'),
    'histopathologic-cancer-detection': Competition(
        'auc', 'id', ('label',), UNIT, answers='answers.csv'),
    'jigsaw-toxic-comment-classification-challenge': Competition(
        'mean_auc', 'id', ('toxic', 'severe_toxic', 'obscene', 'threat',
                           'insult', 'identity_hate')),
    'mlsp-2013-birds': Competition(
        'auc', 'Id', ('Probability',), UNIT, answers='answers.csv'),
    'new-york-city-taxi-fare-prediction': Competition(
        'rmse', 'key', ('fare_amount',), align='sorted'),
    'ranzcr-clip-catheter-line-classification': Competition(
        'mean_auc', 'StudyInstanceUID', (
            'ETT - Abnormal', 'ETT - Borderline', 'ETT - Normal',
            'NGT - Abnormal', 'NGT - Borderline',
            'NGT - Incompletely Imaged', 'NGT - Normal', 'CVC - Abnormal',
            'CVC - Borderline', 'CVC - Normal',
            'Swan Ganz Catheter Present'), UNIT),
    'siim-isic-melanoma-classification': Competition(
        'auc', 'image_name', ('target',), UNIT),
    'text-normalization-challenge-english-language': Competition(
        'text_accuracy', 'id', ('after',), answers='answers.csv'),
    'text-normalization-challenge-russian-language': Competition(
        'text_accuracy', 'id', ('after',), answers='answers.csv'),
    'the-icml-2013-whale-challenge-right-whale-redux': Competition(
        'auc', 'clip', ('probability',), UNIT),
}
_RL4MLE_ONLY = (
    'learning-agency-lab-automated-essay-scoring-2',
    'tweet-sentiment-extraction', 'us-patent-phrase-to-phrase-matching',
    'lmsys-chatbot-arena')
_NAMES = tuple(COMPETITIONS)
SETS = {  # see tasks.SETS
    'rl4mle': _NAMES[:12],
    'mlebench_lite': tuple(
        sorted(n for n in _NAMES if n not in _RL4MLE_ONLY)),
}
