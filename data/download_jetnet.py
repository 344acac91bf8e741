"""Downloads JetNet and makes its flat file, for example: python data/download_jetnet.py --classes g,q"""

import argparse

from lgae_pyg.datasets import JetNet


def main() -> None:
    """Reads the options, fetches what is missing and says what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default="data/jetnet", help="folder of the data set (default: %(default)s)")
    parser.add_argument("--classes", default="g,q,t,w,z", help="classes, with commas (default: %(default)s)")
    parser.add_argument("--num-particles", type=int, default=30, help="leading particles kept (default: 30)")
    options = parser.parse_args()
    classes = options.classes.split(",")
    dataset = JetNet(options.root, classes, num_particles=options.num_particles, download=True)
    print(f"{len(dataset)} jets in {dataset.processed_paths[0]}")


if __name__ == "__main__":
    main()
