"""Train on one table, test on another: are new rows good for what the real ones are used for?"""

from __future__ import annotations

import numpy as np

from diffx_tabular.reader import Columns
from diffx_tabular.table import Category, Table


def utility(table: Table, train: Columns, test: Columns, target: str, trees: int = 100) -> float:
    """How well a random forest predicts the column ``target`` of ``test`` from the others: R2 of a number, balanced
    accuracy of a category. Rows without a target are left out; nan where too few remain."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.metrics import balanced_accuracy_score, r2_score

    (x, y), (x_test, y_test) = (_split(table, columns, target) for columns in (train, test))
    if len(y) < 2 or len(y_test) < 2:
        return float("nan")
    category = any(isinstance(c, Category) and c.name == target for c in table.columns)
    forest = RandomForestClassifier if category else RandomForestRegressor
    predicted = forest(trees, min_samples_leaf=3, random_state=0).fit(x, y).predict(x_test)
    if not category:
        return float(r2_score(y_test, predicted))
    return float(balanced_accuracy_score(y_test, predicted))


def _split(table: Table, columns: Columns, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, F], NaN where missing, and the target [n] of the rows that have one."""
    values, codes = table.values(columns), table.codes(columns)
    there = np.array([bool(v) for v in columns[target]])
    parts = []
    for number, column in zip(table.numbers, values.T):
        if number.name == target:
            y = column
        else:
            parts.append(column)
    for category, code in zip(table.categories, codes.T):
        if category.name == target:
            y = code
        else:
            parts += list(np.eye(len(category.levels))[code].T)
    return np.stack(parts, 1)[there], y[there]
