"""Texts: reading, the model of the characters, the language model, detectors, explanations."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import insphere
from insphere.cli import main
from insphere.data.read_options import ReadOptions
from insphere.detectors.registry import build_detector
from insphere.detectors.texts.character_model import CharacterModel, Surprise
from insphere.errors import DataError, ModelError, SpecError
from insphere.modalities.load import kind_of_source
from insphere.modalities.table import kind_of, kind_of_input
from insphere.modalities.texts.files import LONGEST, read_texts
from insphere.modalities.texts.kind import Texts
from insphere.nets.language.bert import Bert, BertSizes

HOURS = [f"The train to Bern leaves at {h}:{m:02} from track {1 + h % 7}." for h in range(24)
         for m in (0, 15, 30, 45)]  # fmt: skip
ODD = ["WIN £££ now!!! Call 0900 555 555", "xq zzv kkw qqq jjj", "Il treno parte domani, forse."]
METHODS = ("text-mahalanobis", "text-knn", "text-svdd", "text-surprise", "cvdd")


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("X", [HOURS, tuple(HOURS), np.array(HOURS), np.array(HOURS, object)])
def test_strings_are_texts(X):
    assert kind_of_input(X) is Texts
    data = Texts.read(X, fitting=False, estimator=None)
    assert kind_of(data) is Texts
    assert data.tolist() == HOURS


def test_columns_of_pandas_are_texts():
    pandas = pytest.importorskip("pandas")
    assert kind_of_input(pandas.Series(HOURS)) is Texts
    read = Texts.read(pandas.Series(HOURS), fitting=False, estimator=None)
    assert read.tolist() == HOURS


def test_paths_of_images_are_no_texts(tmp_path):
    assert kind_of_input(["a.png", "b.jpg"]) is not Texts
    assert kind_of_input([str(tmp_path), str(tmp_path)]) is not Texts


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_files_of_texts_are_read_alike(tmp_path):
    rows = [{"text": t, "anomaly": int(i > 2)} for i, t in enumerate([*HOURS[:3], *ODD])]
    head = "text,anomaly\n" + "".join(f'"{r["text"]}",{r["anomaly"]}\n' for r in rows)
    files = {
        "a.jsonl": "\n".join(map(json.dumps, rows)),
        "a.csv": "\ufeff" + head,
        "a.tsv": "text\tanomaly\n" + "".join(f"{r['text']}\t{r['anomaly']}\n" for r in rows),
    }
    for name, content in files.items():
        data = read_texts(write(tmp_path / name, content), {})
        assert data.texts.tolist() == [r["text"] for r in rows]
        assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert data.normal_classes == ("normal",)
    plain = write(tmp_path / "a.txt", "\r\n".join(HOURS) + "\n\n")
    assert read_texts(plain, {}).texts.tolist() == HOURS
    named = read_texts(str(tmp_path / "a.jsonl"), {"text": "text", "label": "text"})
    assert len(named.class_names) == 6


@pytest.mark.parametrize(
    ("name", "content", "classes", "normal"),
    [
        ("a.csv", "text,class\na,ham\nb,spam\n", ("ham", "spam"), ()),
        ("a.csv", "Category,Message\nham,a\nspam,b\n", ("ham", "spam"), ()),
        ("a.csv", "text,is_fraud\na,0.0\nb,1.0\n", ("normal", "anomalous"), ("normal",)),
        ("a.csv", "Text,Label\na,normal\nb,odd\n", ("normal", "odd"), ("normal",)),
        ("a.csv", "text,class\na,1\nb,2\nc,3\n", ("normal",), ()),
        ("a.jsonl", '{"text": "a", "fraud": false}\n{"text": "b", "fraud": true}\n',
         ("normal", "anomalous"), ("normal",)),
    ],
)  # fmt: skip
def test_labels_of_other_names_are_not_trained_on(tmp_path, name, content, classes, normal):
    import warnings

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = read_texts(write(tmp_path / name, content), {}  if "Message" not in content
                          else {"text": "Message"})  # fmt: skip
    assert (data.class_names, data.normal_classes) == (classes, normal)
    told = [str(one.message) for one in said]
    assert len(told) == (classes != ("normal",) and "Label" not in content)
    assert all("is taken for what each text is" in one for one in told)


def test_fields_that_were_named_in_training_are_remembered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f'billing,"{text}"' for text in HOURS] + [f'other,"{text}"' for text in ODD]
    write(tmp_path / "t.csv", "topic,body of it\n" + "\n".join(rows) + "\n")
    named = ["--kind", "text", "--column", "text=body of it", "--label", "topic"]
    fit = ["fit", "t.csv", *named, "--normal", "billing", "--method", "text-surprise", "--out", "m"]
    assert main(fit) == 0
    capsys.readouterr()
    assert main(["evaluate", "m", "t.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluation"]["auc"] > 0.9
    for name, content in (
        ("a.csv", "body of it\nHello\n"),
        ("b.csv", "text\nHello\n"),
        ("c.txt", "Hello\n"),
        ("d.jsonl", '"Hello"\n'),
    ):
        write(tmp_path / name, content)
        assert main(["score", "m", name, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["scores"]) == 1


def test_other_encodings_and_ends_of_lines_are_read(tmp_path):
    wide = write(tmp_path / "a.csv", "text;label\ngröße;0\nß;1\n".encode("utf-16"))
    assert read_texts(wide, {}).texts.tolist() == ["größe", "ß"]
    assert read_texts(write(tmp_path / "a.txt", "a\rb\rc\r"), {}).texts.tolist() == ["a", "b", "c"]


def test_a_source_is_guessed_where_it_is_safe(tmp_path):
    texts = write(tmp_path / "a.jsonl", '{"text": "Hello"}\n')
    other = write(tmp_path / "b.jsonl", '{"x": 1.5}\n')
    table = write(tmp_path / "c.csv", "text\nHello\n")
    assert kind_of_source(texts) is Texts
    assert kind_of_source(other) is not Texts
    assert kind_of_source(table) is not Texts
    assert kind_of_source(table, "text") is Texts


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.jsonl", b'{"text": "caf\xe9"}', {}, "not UTF-8"),
        ("a.csv", b"text\ncaf\xe9\n", {}, "not UTF-8"),
        ("a.jsonl", '{"words": "Hello"}', {}, "no field 'text'.*--column text=NAME.*words"),
        ("a.jsonl", '{"text": "Hello"}', {"text": "body"}, "no field 'body'"),
        ("a.jsonl", '{"text": "Hello"}', {"label": "kind"}, "no field 'kind'"),
        ("a.jsonl", '{"text": "Hello"}\n{"text": "  "}', {}, "Line 2 of .* is an empty text"),
        ("a.jsonl", '{"text": "Hello"}\n{"text": 5}', {}, "Line 2 .* no text but a number"),
        ("a.jsonl", '{"text": "Hello"}\nHello', {}, "Line 2 of .* is no JSON"),
        ("a.jsonl", "[1]", {}, "no object with fields"),
        ("a.jsonl", "[" * 100_000, {}, "is no JSON"),
        ("a.jsonl", json.dumps({"text": "a" * (LONGEST + 1)}), {}, "100,001 characters"),
        ("a.txt", "a" * (1 << 22) + "bb", {}, "longer than"),
        ("a.txt", "\n\n", {}, "holds no texts"),
        ("a.txt", "Hello", {"label": "x"}, "has no fields"),
        ("a.csv", "text,b\nHello\n", {}, "Line 2 .* has 1 values"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}', {}, "Text 2 .* has no label"),
        ("a.doc", "Hello", {}, "is no file of texts"),
        ("a.txt", "\u200b\nHello", {}, "Line 1 .* is an empty text"),
        ("a.txt", "H\0e\0l\0l\0o\0\n", {}, "have the value 0, as in UTF-16"),
        ("a.csv", "text,text\na,b\n", {}, "several columns named text"),
        ("a.csv", "text,label\na,\nb,spam\n", {}, "Text 1 .* has no label"),
        ("a.jsonl", '{"text": "a", "label": null}\n{"text": "b", "label": 1}', {}, "no label"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, name, content, columns, message):
    with pytest.raises(DataError, match=message) as found:
        read_texts(write(tmp_path / name, content), columns)
    assert "\n" not in str(found.value)


def test_a_missing_file_and_an_unknown_role_get_one_sentence(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_texts(str(tmp_path / "none.jsonl"), {})
    with pytest.raises(SpecError, match=r"no role 'txet'.*; did you mean text"):
        read_texts(str(tmp_path / "none.jsonl"), {"txet": "a"})


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="it is no file"):
        read_texts(str(tmp_path / "a.jsonl"), {})


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["one text"], "at least 2 normal texts"),
        (["the same"] * 9, "only 1 is different"),
        (["a text", "  ", "another"], "Text 2 is an empty text"),
        (["a text", 5, "another"], "Text 2 is no string but 5"),
    ],
)
def test_bad_training_texts_get_one_sentence(X, message):
    with pytest.raises(DataError, match=message):
        build_detector("text-surprise", {}, seed=0).fit(X)


def test_other_detectors_say_what_they_take_and_texts_too():
    with pytest.raises(DataError, match="takes texts"):
        build_detector("text-surprise", {}, seed=0).fit(
            np.random.default_rng(0).normal(size=(9, 3))
        )
    fitted = build_detector("text-surprise", {}, seed=0).fit(HOURS)
    with pytest.raises(DataError, match="trained on texts, but got a table"):
        fitted.predict(np.zeros((2, 3)))


def test_detectors_of_other_kinds_name_one_for_texts():
    for method in ("deep-svdd", "knn", "feature-knn"):
        with pytest.raises(DataError, match="but got texts; a method for these is text-maha"):
            build_detector(method, {}, seed=0).fit(HOURS)


def test_half_a_surrogate_pair_is_scored():
    fitted = build_detector("text-surprise", {}, seed=0).fit(HOURS)
    assert np.isfinite(fitted.anomaly_score(["bad \ud800 text", "\x00 and \U0001f600"])).all()


# ---------------------------------------------------------------- the model of the characters


def test_probabilities_follow_witten_and_bell():
    """One text "ab": three symbols a, b and the end, each seen once."""
    model = CharacterModel.fitted(["ab"], order=2)
    uniform = 1 / (3 + 1000)
    p0 = (1 + 3 * uniform) / (3 + 3)  # of each seen symbol without context
    unseen0 = 3 * uniform / (3 + 3)
    first = (1 + 1 * p0) / (1 + 1)  # after the start, one symbol was seen once
    second = first  # b after a, the end after b: the same counts
    (bits,) = model.bits(["ab"])
    np.testing.assert_allclose(bits, -np.log2([first, second, second]))
    (bits,) = model.bits(["c"])
    np.testing.assert_allclose(bits, -np.log2([unseen0 / 2, p0]))  # after c nothing is known


def test_probabilities_sum_to_one():
    model = CharacterModel.fitted(HOURS[:20], order=4)
    alphabet = sorted(set("".join(HOURS[:20])))
    start = "The tr"
    p = [2 ** -model.bits([start + c])[0][len(start)] for c in alphabet]
    ends = 2 ** -model.bits([start])[0][-1]
    unseen = 1000 * 2 ** -model.bits([start + "\u4e00"])[0][len(start)]
    assert sum(p) + ends + unseen == pytest.approx(1)


def test_surprise_grows_with_the_root_of_the_length():
    surprise = Surprise(CharacterModel.fitted(HOURS, 3), usual=2.0)
    bits = surprise.model.bits(ODD)
    wanted = [(b.mean() - 2.0) * math.sqrt(len(b)) for b in bits]
    np.testing.assert_allclose(surprise.scores(ODD), wanted)


# ---------------------------------------------------------------- the language model


def test_the_network_computes_what_torch_computes():
    """Its blocks equal `torch.nn.TransformerEncoderLayer` with the same weights."""
    torch.manual_seed(0)
    sizes = BertSizes(50, 16, 2, 24, 1, 4, 48)
    network = Bert(sizes).eval()
    ids = torch.randint(0, 50, (2, 7))
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    layer = torch.nn.TransformerEncoderLayer(
        24, 4, 48, dropout=0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    ).eval()
    block = network.encoder.layer[0]
    own = block.attention.self
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(
            torch.cat([own[n].weight for n in ("query", "key", "value")])
        )
        layer.self_attn.in_proj_bias.copy_(
            torch.cat([own[n].bias for n in ("query", "key", "value")])
        )
        for theirs, ours in (
            (layer.self_attn.out_proj, block.attention.output.dense),
            (layer.norm1, block.attention.output.LayerNorm),
            (layer.linear1, block.intermediate["dense"]),
            (layer.linear2, block.output.dense),
            (layer.norm2, block.output.LayerNorm),
        ):
            theirs.load_state_dict(ours.state_dict())
        start, end = network.layers(ids, mask)
        wanted = layer(start, src_key_padding_mask=~mask)
    torch.testing.assert_close(end[mask], wanted[mask], atol=1e-5, rtol=1e-5)


def small_language_model(folder: Path, seed: int = 0) -> Path:
    """Write a tiny network with random weights in the form of a sentence-transformers folder."""
    tokenizers = pytest.importorskip("tokenizers")
    from safetensors.torch import save_file

    folder.mkdir()
    words = ["[PAD]", "[UNK]", *sorted(set(" ".join([*HOURS, *ODD]).lower().split()))]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "bert", "vocab_size": len(words), "max_position_embeddings": 64,
        "type_vocab_size": 2, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    weights = Bert(BertSizes.from_config(config)).state_dict()
    save_file({f"bert.{k}": v for k, v in weights.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return small_language_model(tmp_path_factory.mktemp("language") / "tiny")


def made(method: str, backbone: Path, **params):
    known = {} if method == "text-surprise" else {"backbone": str(backbone), "cache": False}
    if method == "text-svdd":
        known |= {"epochs": 2, "head": {"widths": (16,), "rep_dim": 8}}
    return build_detector(method, known | params, seed=0)


@pytest.mark.parametrize("method", METHODS)
def test_detectors_find_odd_texts_and_survive_saving(tmp_path, backbone, method):
    detector = made(method, backbone).fit(HOURS[::2])
    scores = detector.anomaly_score([*HOURS[1::2], *ODD])
    truth = np.repeat([0, 1], [len(HOURS) // 2, len(ODD)])
    assert roc_auc_score(truth, scores) > 0.99
    assert np.ptp(scores) > 0
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score([*HOURS[1::2], *ODD]), scores)
    assert loaded.nearest_texts(ODD) == detector.nearest_texts(ODD)
    again = made(method, backbone).fit(HOURS[::2])
    np.testing.assert_array_equal(again.anomaly_score(ODD), detector.anomaly_score(ODD))


def test_training_scores_are_those_of_texts_not_trained_on(backbone):
    detector = made("text-knn", backbone, characters=False, contamination=0.5).fit(HOURS)
    own = detector.anomaly_score(HOURS)  # each is its own neighbour
    assert np.median(own) < detector.threshold_


def test_another_language_model_is_refused(tmp_path, backbone):
    folder = made("text-mahalanobis", backbone).fit(HOURS).save(tmp_path / "model")
    other = small_language_model(tmp_path / "other", seed=1)
    loaded = insphere.load(folder)
    loaded.backbone = str(other)
    with pytest.raises(ModelError, match="another than the one"):
        loaded.predict(ODD)


def test_a_folder_that_is_no_language_model_gets_one_sentence(tmp_path, backbone):
    with pytest.raises(SpecError, match="no folder"):
        made("text-knn", tmp_path / "none").fit(HOURS)
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        made("text-knn", tmp_path).fit(HOURS)
    broken = small_language_model(tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    with pytest.raises(ModelError, match="do not fit its config"):
        made("text-knn", broken).fit(HOURS)
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(ModelError, match="no network of the BERT kind"):
        made("text-knn", broken).fit(HOURS)


@pytest.mark.parametrize("layers", ["lower", [], [9], [True]])
def test_wrong_layers_are_refused(backbone, layers):
    with pytest.raises(SpecError, match="layers"):
        made("text-knn", backbone, layers=layers).fit(HOURS)


def test_embeddings_are_kept_and_do_not_depend_on_the_batch(tmp_path, backbone, monkeypatch):
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path))
    fresh = made("text-knn", backbone).fit(HOURS)
    kept = made("text-knn", backbone, cache=True).fit(HOURS)
    assert list(tmp_path.glob("features/*/*.npy"))
    np.testing.assert_allclose(kept.embed(HOURS), fresh.embed(HOURS), atol=2e-3)
    again = made("text-knn", backbone, cache=True).fit(HOURS)
    np.testing.assert_array_equal(again.embed(HOURS), kept.embed(HOURS))
    np.testing.assert_allclose(fresh.embed(HOURS[:1]), fresh.embed(HOURS)[:1], atol=2e-3)


# ---------------------------------------------------------------- explanations


@pytest.mark.parametrize("method", ["text-surprise", "text-mahalanobis"])
def test_the_word_that_does_not_belong_counts_most(backbone, method):
    detector = made(method, backbone).fit(HOURS)
    (words,) = detector.word_shares(["The train to £££!!! leaves at 7:30 from track 1."])
    assert max(words, key=lambda item: item[1])[0] == "£££!!!"
    without = detector.anomaly_score(["The train to leaves at 7:30 from track 1."])
    whole = detector.anomaly_score(["The train to £££!!! leaves at 7:30 from track 1."])
    assert dict(words)["£££!!!"] == pytest.approx(float(whole[0] - without[0]))


def test_contexts_attend_as_in_the_paper_and_learn(backbone):
    import torch

    from insphere.nets.language.contexts import ContextAttention
    from insphere.training.context_vectors import train_contexts

    network = ContextAttention(torch.eye(2, 4), 3)
    words, mask = torch.randn(2, 5, 4), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    looked = network.attention(words, mask)
    hidden = torch.tanh(words[0, :3] @ network.first.weight.T) @ network.second.weight.T
    torch.testing.assert_close(looked[0, :, :3], torch.softmax(hidden, 0).T)
    assert not looked[0, :, 3:].any()
    vector = looked[0, 1, :3] @ words[0, :3]
    by_hand = (1 - vector[1] / vector.norm()) / 2  # the second context is the second axis
    torch.testing.assert_close(network(words, mask)[0, 1], by_hand)
    assert network.orthogonality() == 0
    rng = np.random.default_rng(0)
    vectors = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    texts = [rng.integers(0, 10, 6) for _ in range(60)]  # normal texts know ten words of forty
    few, many = (
        train_contexts(texts, vectors, heads=2, width=8, epochs=epochs, lr=0.02, seed=0)
        for epochs in (1, 25)
    )
    ids = torch.tensor(np.array(texts))
    odd = torch.tensor(rng.integers(10, 40, (60, 6)))
    mask = torch.ones(60, 6, dtype=torch.bool)
    with torch.no_grad():
        assert many(vectors[ids], mask).mean() < few(vectors[ids], mask).mean()
        assert many(vectors[odd], mask).mean() > 1.5 * many(vectors[ids], mask).mean()
    fitted = made("cvdd", backbone, epochs=2).fit(HOURS)
    (attended,) = fitted.attended(HOURS[:1])
    assert len(attended) == 3 == len(fitted.contexts())
    for distance, pieces in attended:
        assert 0 <= distance <= 1
        assert sum(share for _, share in pieces) == pytest.approx(1, abs=1e-5)


def test_words_are_looked_at_in_the_most_anomalous_texts():
    from insphere.modalities.texts.words import MOST_EXPLAINED, text_exhibits

    detector = build_detector("text-surprise", {}, seed=0).fit(HOURS)
    odd = "zqx wvk jjj qqq"
    texts = np.array([*HOURS[: MOST_EXPLAINED + 4], odd], object)
    shown = text_exhibits(detector, texts)
    assert len(shown) == len(texts)
    assert sum(bool(one.words) for one in shown) == MOST_EXPLAINED
    assert shown[-1].words
    assert shown[-1].note


def test_nearest_texts_and_the_choice_to_keep_none(backbone):
    detector = made("text-mahalanobis", backbone).fit(HOURS)
    ((text, cosine), *_rest) = detector.nearest_texts([HOURS[5]])[0]
    assert text == HOURS[5]
    assert cosine == pytest.approx(1, abs=2e-3)
    none = made("text-mahalanobis", backbone, keep_texts=0).fit(HOURS)
    assert none.nearest_texts(ODD) == [[], [], []]
    (exhibit,) = Texts(40).exhibits(none, read_set(ODD[:1]), np.arange(1))
    assert [word for word, _ in exhibit.words] == ODD[0].split()
    assert sum(share for _, share in exhibit.words) == pytest.approx(1)


def read_set(texts):
    from insphere.modalities.texts.files import as_texts
    from insphere.modalities.texts.text_set import TextSet

    return TextSet(as_texts(list(texts)), np.zeros(len(texts), np.int64), ("normal",))


# ---------------------------------------------------------------- command line


def test_from_file_to_report(tmp_path, capsys):
    rows = [{"text": t, "anomaly": 0} for t in HOURS] + [{"text": t, "anomaly": 1} for t in ODD]
    source = write(tmp_path / "messages.jsonl", "\n".join(map(json.dumps, rows)))
    model = str(tmp_path / "model")
    command = ["fit", source, "--method", "text-surprise", "--out", model, "--json"]
    assert main(command) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert fitted["kind"] == "texts"
    assert fitted["n_train"] <= len(HOURS) / 2
    assert main(["evaluate", model, source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluation"]["auc"] == 1.0
    report = tmp_path / "report.html"
    new = write(tmp_path / "new.txt", "\n".join([*HOURS[:5], *ODD]))
    assert main(["score", model, new, "--report", str(report), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["scores"]) == 8
    html = report.read_text()
    assert "£££" in html
    assert "Nearest normal texts" in html
    assert main(["score", model, write(tmp_path / "bad.txt", b"caf\xe9")]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_the_split_does_not_depend_on_how_the_file_is_read(tmp_path):
    rows = [{"text": t, "label": "ok"} for t in HOURS] + [{"text": t, "label": "odd"} for t in ODD]
    source = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    data = Texts.load(source, ReadOptions())
    split = ReadOptions(normal="ok").split(data)
    assert split.X_train.dtype == object
    assert set(split.X_train) <= set(HOURS)


# ---------------------------------------------------------------- real data


@pytest.mark.slow
def test_messages_are_told_from_spam():
    """Half of 600 real messages against 60 of spam; the packaged language model if it is there."""
    folder = os.environ.get("INSPHERE_DATA")
    if not folder or not (Path(folder) / "texts.zip").is_file():
        pytest.skip("texts.zip is not there")
    import zipfile

    with zipfile.ZipFile(Path(folder) / "texts.zip") as archive:
        lines = archive.read("texts/smsspam.jsonl").splitlines()
    rows = [json.loads(line) for line in lines]
    ham = [r["text"] for r in rows if not r["anomaly"]][:600]
    spam = [r["text"] for r in rows if r["anomaly"]][:60]
    detector = build_detector("text-surprise", {}, seed=0).fit(ham[:300])
    truth = np.repeat([0, 1], [300, 60])
    assert roc_auc_score(truth, detector.anomaly_score(ham[300:] + spam)) > 0.93
