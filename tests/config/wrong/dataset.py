"""Wrong values of the settings of a data set."""

from tests.config.helpers import ARRAYS, CLASSES, WHOLE

DATASET = [
    (
        ["dataset.name=digits"],
        "dataset.name=digits: must be arrays, curves, faces, idx, mnist or mnist_labels",
    ),
    (
        ["dataset.activations.0=swish"],
        "dataset.activations[0]=swish: must be logistic, tanh, relu or linear",
    ),
    (
        ["dataset.activations=[linear]"],
        "dataset.activations=[linear]: must be 11 words, one for each layer between the first and "
        "the last of dataset.layer_sizes, and has 1",
    ),
    (
        ["dataset.layer_sizes=[784,9,784]", "dataset.activations=[linear,linear]"],
        "dataset.activations=[linear,linear]: must be 1 word, one for each layer between the first "
        "and the last of dataset.layer_sizes, and has 2",
    ),
    (
        ["dataset.layer_sizes=[784,0,784]"],
        "dataset.layer_sizes[1]=0: must be a whole number from 1 to 100000",
    ),
    (
        ["dataset.layer_sizes=784"],
        "dataset.layer_sizes=784: must be a list of 2 to 1000 items, each a whole number from 1 to "
        "100000",
    ),
    (
        ["dataset.layer_sizes=[700,6,784]", "dataset.activations=[linear]"],
        "dataset.layer_sizes=[700,6,784]: must begin and end with 784, the pixels of an image of "
        "curves",
    ),
    (["dataset.initialization=zero"], "dataset.initialization=zero: must be sparse, glorot or he"),
    (["dataset.connections=0"], f"dataset.connections=0: {WHOLE} 1 to 100000"),
    (
        ["dataset.initialization=he", "dataset.connections=3"],
        "dataset.connections=3: needs dataset.initialization=sparse; the others connect a unit to "
        "all its inputs",
    ),
    (["dataset.output=softplus"], "dataset.output=softplus: must be bernoulli or gaussian"),
    (["dataset.output=categorical"], "dataset.output=categorical: must be bernoulli or gaussian"),
    (
        ["dataset=mnist_labels", "dataset.output=gaussian"],
        "dataset.output=gaussian: must be categorical",
    ),
    (
        ["dataset=mnist_labels", "dataset.layer_sizes=[784,20,30,9]"],
        "dataset.layer_sizes=[784,20,30,9]: must begin with 784, the pixels of an image, and end "
        "with 10, the digits",
    ),
    (
        [*CLASSES, "dataset.image_shape=[2,3]"],
        "dataset.image_shape=[2,3]: must be null with dataset.output=categorical",
    ),
    (
        [*CLASSES, "dataset.layer_sizes=[6,3,1]"],
        "dataset.layer_sizes=[6,3,1]: must end with the number of classes, 2 or more",
    ),
    (
        [*ARRAYS, "dataset.output=categorical", "dataset.train_inputs=a", "dataset.test_inputs=b"],
        "dataset.train_targets=null: must be a path, since dataset.output=categorical",
    ),
    (
        ["dataset=faces", "dataset.output=bernoulli"],
        "dataset.output=bernoulli: must be gaussian; faces are not in [0, 1]",
    ),
    (
        ["dataset=mnist", "dataset.train_cases=70000"],
        "dataset.train_cases=70000: must be null or a whole number from 1 to 60000",
    ),
    (
        ["dataset=arrays"],
        "dataset.layer_sizes: has no value; give one as dataset.layer_sizes=VALUE",
    ),
    (ARRAYS, "dataset.train_inputs=null: must be a path, or give dataset.file"),
    (
        [*ARRAYS, "dataset.file=a.npz", "dataset.test_inputs=b.npy"],
        "dataset.test_inputs=b.npy: must be null when dataset.file is given",
    ),
    (
        [
            *ARRAYS,
            "dataset.train_inputs=a.npy",
            "dataset.test_inputs=b.npy",
            "dataset.train_targets=c.npy",
        ],
        "dataset.test_targets=null: must be a path: there is one for dataset.test_inputs where "
        "there are dataset.train_targets",
    ),
    (
        [*ARRAYS, "dataset.train_inputs=a.npy", "dataset.test_targets=b.npy"],
        "dataset.test_targets=b.npy: must be null: there is one for dataset.test_inputs where "
        "there are dataset.train_targets",
    ),
    (
        [
            *ARRAYS,
            "dataset.train_inputs=a.npy",
            "dataset.test_inputs=b.npy",
            "dataset.layer_sizes=[6,3,5]",
        ],
        "dataset.layer_sizes=[6,3,5]: without targets the net reproduces its inputs: first and "
        "last must be equal",
    ),
    (
        [*ARRAYS, "dataset.file=a.npz", "dataset.image_shape=[2,2]"],
        "dataset.image_shape=[2,2]: must have as many pixels as the last of dataset.layer_sizes, 6",
    ),
    (
        [*ARRAYS, "dataset.file=a.npz", "dataset.image_shape=[2,0]"],
        "dataset.image_shape[1]=0: must be a whole number from 1 to 100000",
    ),
]
"""Each command line with the line that refuses it."""
