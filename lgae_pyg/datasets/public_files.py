"""Names and checksums (md5) of the files of public sets, as authors and users of the sets give them."""

#: Checksums of the files of a Zenodo record. Not read there, but in: 2603256 (top tagging), three scripts
#: in public repositories, which agree; 3164691 (quark and gluon jets), EnergyFlow 1.4, datasets/qg_jets.py.
PUBLISHED_MD5 = {
    2603256: {
        "train.h5": "45663819f47c13724f67eb0fd80bfa5c",
        "val.h5": "dca4b7248027618f041f9baa86d360fc",
        "test.h5": "13163479dee30a5fe546e4536cc3d04d",
    },
    3164691: {
        "QG_jets.npz": "f5d052f10a79c6e8b9382637aca0ef52",
        "QG_jets_1.npz": "f6a1081c76a47386bc11abcf0e499552",
        "QG_jets_2.npz": "2628367c57ba598f4473c870d1381041",
        "QG_jets_3.npz": "dd3ad998b0a1bd9acea2ecf029a8a921",
        "QG_jets_4.npz": "a56d6bb98361b55382aa8c06225e05d8",
        "QG_jets_5.npz": "266c688e9e6ff1cd20840692d45eaaf8",
        "QG_jets_6.npz": "95a9f7e555fb7b1073967056b9030b11",
        "QG_jets_7.npz": "4ae72aaabe121bd489532c99a6bdde95",
        "QG_jets_8.npz": "a2b80bd4199468fde4f302d346a8c9d8",
        "QG_jets_9.npz": "1157cbace488c70c9dcfc250f3345b06",
        "QG_jets_10.npz": "4b424b553e1e7f852e47ea9904bc2dcf",
        "QG_jets_11.npz": "ccd29c9d1abb34dd7cfb48cfc57a9695",
        "QG_jets_12.npz": "1ed1f6f19fb8439c9811dced41d5127d",
        "QG_jets_13.npz": "af45818c361e11ca9b3adaba30db06ad",
        "QG_jets_14.npz": "488ced3ea409d7e2b196da67f7d182ec",
        "QG_jets_15.npz": "c5e083019de6cd6a0ef12bcec1ea566b",
        "QG_jets_16.npz": "48605d55edff665f0c7d2f800b5a622e",
        "QG_jets_17.npz": "8fd47760957b5fd9adec9048b50cd1a9",
        "QG_jets_18.npz": "d43d611484b55391e891ba31c605f792",
        "QG_jets_19.npz": "6753508e34014cc69714a01fca20ec38",
    },
}

#: Beginnings of the names of JetClass's files, and the classes in them, as the card calls them.
JETCLASS_FILES = {
    "ZJetsToNuNu": "QCD",
    "HToBB": "Hbb",
    "HToCC": "Hcc",
    "HToGG": "Hgg",
    "HToWW4Q": "H4q",
    "HToWW2Q1L": "Hqql",
    "ZToQQ": "Zqq",
    "WToQQ": "Wqq",
    "TTBar": "Tbqq",
    "TTBarLep": "Tbl",
}

#: Archives of Zenodo 6619768 by split, with their checksums, which were read in get_datasets.py of the repository
#: jet-universe/particle_transformer; of the ROOT files in them none are known.
JETCLASS_ARCHIVES = {
    "train": {
        "JetClass_Pythia_train_100M_part0.tar": "de4fd2dca2e68ab3c85d5cfd3bcc65c3",
        "JetClass_Pythia_train_100M_part1.tar": "9722a359c5ef697bea0fbf79bf50f003",
        "JetClass_Pythia_train_100M_part2.tar": "1e9f66cd1f915f9d10e90ae1d7761720",
        "JetClass_Pythia_train_100M_part3.tar": "47348fc8985319fa4806da87500482fa",
        "JetClass_Pythia_train_100M_part4.tar": "6b0ce16bd93b442a8d51914466990279",
        "JetClass_Pythia_train_100M_part5.tar": "416e347512e716de51d392bee327b8e9",
        "JetClass_Pythia_train_100M_part6.tar": "e9b9c1557b1b39bf0a16e4ab631ae451",
        "JetClass_Pythia_train_100M_part7.tar": "5bfc6cb285ccb7680cefa9ac82ad1a2e",
        "JetClass_Pythia_train_100M_part8.tar": "540c1a0d66dfad78d2b363c5740ccf86",
        "JetClass_Pythia_train_100M_part9.tar": "668f40b3275167ff7104c48317c0ae2a",
    },
    "val": {"JetClass_Pythia_val_5M.tar": "7235ccb577ed85023ea3ab4d5e6160cf"},
    "test": {"JetClass_Pythia_test_20M.tar": "64e5156d26d101adeb43b8388207d767"},
}
