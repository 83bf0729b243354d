"""Directories as `mlebench prepare` leaves them, with data made here.

File names, columns and the order of rows are those of the competitions; the
rows are few and random.
"""

import io
import json
import pathlib
import zipfile

import numpy as np
import pandas as pd

N = 60  # rows of the answers


def _spooky(rng):
  ids = [f'id{i:05d}' for i in rng.permutation(10_000)[:N]]
  classes = ['EAP', 'HPL', 'MWS']
  text = [f'the old house number {i} stood, silent' for i in range(N)]
  truth = _one_hot(rng, ids, 'id', classes)
  return dict(
      train=_frame(id=[f'id9{i:05d}' for i in range(N)], text=text,
                   author=rng.choice(classes, N)),
      test=_frame(id=ids, text=text), answers=truth,
      sample=truth.assign(EAP=.4, HPL=.3, MWS=.3))


def _leaf(rng):
  classes = [f'Quercus_{chr(97 + i % 26)}{i}' for i in range(99)]
  ids = (rng.permutation(1584)[:N] + 1).tolist()
  features = {f'margin{i}': rng.random(N) for i in range(1, 4)}
  truth = _one_hot(rng, ids, 'id', classes)
  sample = truth.astype({c: float for c in classes})
  sample[classes] = 1 / 99
  return dict(
      train=_frame(id=range(2000, 2000 + N), species=rng.choice(classes, N),
                   **features),
      test=_frame(id=ids, **features), answers=truth, sample=sample)


def _insults(rng):
  comments = [f'"you, {w} number {i}\\n"' for i, w in enumerate(
      rng.choice(['fool', 'friend'], N))]
  comments[1] = comments[0]  # the id is a comment, and comments repeat
  insult, date = _labels(rng), ['20120618192155Z', None] * (N // 2)
  return dict(
      train=_frame(Insult=insult, Date=date,
                   Comment=[f'"train {i}"' for i in range(N)]),
      test=_frame(Date=date, Comment=comments),
      answers=_frame(Insult=insult, Date=date, Comment=comments,
                     Usage=['PublicTest'] * N),
      sample=_frame(Insult=[0] * N, Date=date, Comment=comments),
      sample_name='sample_submission_null.csv')


def _pizza(rng):
  ids, label = [f't3_{i:05x}' for i in rng.permutation(N)], _labels(rng)
  records = [
      {'request_id': i, 'request_title': f'[Request] pizza {k} please',
       'giver_username_if_known': 'kind' if y else 'N/A',
       'requester_subreddits_at_request': ['a', 'b'][: k % 3],
       'requester_upvotes_at_request': int(rng.integers(100))}
      for k, (i, y) in enumerate(zip(ids, label, strict=True))]
  return dict(
      train=json.dumps([{**r, 'requester_received_pizza': bool(y)}
                        for r, y in zip(records, label, strict=True)]),
      test=json.dumps(records),
      answers=_frame(request_id=ids, requester_received_pizza=label),
      sample=_frame(request_id=ids, requester_received_pizza=[0] * N),
      sample_name='sampleSubmission.csv')


def _nomad(rng):
  features = {'spacegroup': rng.choice([12, 33, 194], N),
              'percent_atom_al': rng.random(N)}
  energies = dict(formation_energy_ev_natom=rng.random(N) / 2,
                  bandgap_energy_ev=rng.random(N) * 5)
  ids = range(1, N + 1)
  return dict(
      train=_frame(id=ids, **features, **energies),
      test=_frame(id=ids, **features),
      answers=_frame(id=ids, **features, **energies),
      sample=_frame(id=ids, formation_energy_ev_natom=.1779,
                    bandgap_energy_ev=1.8892))


def _may(rng):
  return _plain(rng, 'id', 'target', _labels(rng), .5)


def _december(rng):
  return _plain(rng, 'Id', 'Cover_Type', rng.integers(1, 8, N), 2)


def _patent(rng):
  return _plain(rng, 'id', 'score', rng.choice([0, .25, .5, .75, 1], N), 0)


def _taxi(rng):
  return _plain(rng, 'key', 'fare_amount', rng.random(N) * 50, 11.35)


def _essays(rng):
  files = _plain(rng, 'essay_id', 'score', rng.integers(1, 7, N), 3)
  return dict(files, answers_name='answers.csv')


def _dogs(rng):
  files = _plain(rng, 'id', 'label', _labels(rng), .5)
  # No thresholds of it are shipped.
  return dict(files, answers_name='answers.csv', leaderboard=[.03, .1, .7])


def _tweets(rng):
  words = np.array(['so', 'Happy', 'today', 'but', 'sad', 'NA'])
  texts = [' '.join(rng.choice(words, 4)) for _ in range(N)]
  files = _plain(rng, 'textID', 'selected_text', texts, '')
  return files


def _cactus(rng):
  ids, label = [f'{i:04x}.jpg' for i in rng.permutation(N)], _labels(rng)
  return dict(
      train=_frame(id=[f'a{i}.jpg' for i in range(N)], has_cactus=label),
      answers=_frame(id=ids, has_cactus=label),
      sample=_frame(id=ids, has_cactus=.5),
      archives={'train.zip': [f'train/a{i}.jpg' for i in range(N)],
                'test.zip': [f'test/{i}' for i in ids]})


def _plants(rng):
  ids = [f'Test_{i}' for i in rng.permutation(N)]
  classes = ['healthy', 'multiple_diseases', 'rust', 'scab']
  truth = _one_hot(rng, ids, 'image_id', classes)
  return dict(
      train=_one_hot(rng, range(N), 'image_id', classes),
      test=_frame(image_id=ids), answers=truth,
      sample=truth.assign(**dict.fromkeys(classes, .25)))


def _toxic(rng):
  classes = ['toxic', 'severe_toxic', 'obscene', 'threat', 'insult',
             'identity_hate']
  ids = [f'{i:016x}' for i in rng.permutation(N)]
  truth = _frame(id=ids, **{c: _labels(rng) for c in classes})
  truth.loc[: N // 6, classes] = -1  # rows that Kaggle did not grade
  text = ['a comment'] * N
  return dict(
      train=_frame(id=range(N), comment_text=text,
                   **{c: _labels(rng) for c in classes}),
      test=_frame(id=ids, comment_text=text), answers=truth,
      sample=truth.assign(**dict.fromkeys(classes, .5)))


MAKERS = {
    'spooky-author-identification': _spooky,
    'leaf-classification': _leaf,
    'detecting-insults-in-social-commentary': _insults,
    'random-acts-of-pizza': _pizza,
    'nomad2018-predict-transparent-conductors': _nomad,
    'tabular-playground-series-may-2022': _may,
    'tabular-playground-series-dec-2021': _december,
    'us-patent-phrase-to-phrase-matching': _patent,
    'new-york-city-taxi-fare-prediction': _taxi,
    'learning-agency-lab-automated-essay-scoring-2': _essays,
    'dogs-vs-cats-redux-kernels-edition': _dogs,
    'tweet-sentiment-extraction': _tweets,
    'aerial-cactus-identification': _cactus,
    'plant-pathology-2020-fgvc7': _plants,
    'jigsaw-toxic-comment-classification-challenge': _toxic,
}


def _frame(**columns) -> pd.DataFrame:
  return pd.DataFrame(columns)


def _labels(rng) -> np.ndarray:
  return rng.permutation(np.arange(N) % 2)


def _one_hot(rng, ids, id_column, classes):
  chosen = rng.permutation(np.arange(len(ids)) % len(classes))
  table = pd.DataFrame(
      np.eye(len(classes), dtype=int)[chosen], columns=classes)
  table.insert(0, id_column, list(ids))
  return table


def _plain(rng, id_column, target, values, constant):
  ids = (rng.permutation(N) + 900_000).tolist()
  features = {'f_00': rng.random(N), 'f_27': ['ABABDADBAB'] * N}
  return dict(
      train=pd.DataFrame({id_column: range(N), **features, target: values}),
      test=pd.DataFrame({id_column: ids, **features}),
      answers=pd.DataFrame({id_column: ids, **features, target: values}),
      sample=pd.DataFrame({id_column: ids, target: constant}))


def make(root: pathlib.Path, name: str) -> pathlib.Path:
  """Writes <root>/<name>/prepared."""
  files = MAKERS[name](np.random.default_rng(7))
  path = root / name
  public, private = path / 'prepared/public', path / 'prepared/private'
  public.mkdir(parents=True)
  private.mkdir()
  for part in ('train', 'test'):
    if isinstance(files.get(part), str):
      (public / f'{part}.json').write_text(files[part])
    elif part in files:
      files[part].to_csv(public / f'{part}.csv', index=False)
  for archive, names in files.get('archives', {}).items():
    with zipfile.ZipFile(public / archive, 'w') as file:
      for image in names:
        file.writestr(image, b'\xff\xd8')
  files['sample'].to_csv(
      public / files.get('sample_name', 'sample_submission.csv'), index=False)
  files['answers'].to_csv(
      private / files.get('answers_name', 'test.csv'), index=False)
  if 'leaderboard' in files:
    _frame(team=range(len(files['leaderboard'])), score=files['leaderboard']
           ).to_csv(path / 'leaderboard.csv', index=False)
  (public / 'description.md').write_text(
      f'# Overview\n\n## Description\n\nThe data of {name}. Predict well.\n')
  return path


def to_bytes(table: pd.DataFrame) -> bytes:
  out = io.StringIO()
  table.to_csv(out, index=False)
  return out.getvalue().encode()
