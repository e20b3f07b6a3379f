"""Writes digits.npz: scikit-learn's bundled handwritten digits (8x8 grey, values 0 to 16) as a Secateur dataset.

x, x_val, x_test are uint8 [N, 1, 8, 8]; y, y_val, y_test are int64 [N]. The split is 70/10/20, stratified, seed 0.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 0


def main() -> None:
    digits = load_digits()
    x = digits.images.astype(np.uint8)[:, None, :, :]
    y = digits.target.astype(np.int64)
    x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=SEED)
    x_train, x_val, y_train, y_val = train_test_split(
        x_rest, y_rest, test_size=0.125, stratify=y_rest, random_state=SEED
    )
    path = Path(__file__).with_name("digits.npz")
    np.savez_compressed(path, x=x_train, y=y_train, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test)
    print(f"{path.name}: {len(x_train)} train, {len(x_val)} val, {len(x_test)} test, {path.stat().st_size} bytes")
    print(f"train mean {x_train.mean():.4f}, std {x_train.std():.4f}")


if __name__ == "__main__":
    main()
