"""What runs beside an attack, and must not notice."""

PROGRAM = '''
import numpy as np
from sklearn.linear_model import LinearRegression
x = np.random.rand(50, 3)
print(LinearRegression().fit(x, x @ [1., 2., 3.]).coef_.round(6))
'''
USUAL = '[1. 2. 3.]\n'
