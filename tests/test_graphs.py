"""Graphs: reading, nodes that know their graph, nearest nodes, OCGNN, explanations."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import roc_auc_score

import insphere
from insphere.cli import main
from insphere.detectors import GraphKNN
from insphere.detectors.graphs.node_features import NodeScale
from insphere.detectors.registry import build_detector
from insphere.errors import DataError, SpecError
from insphere.fingerprint import array_fingerprint
from insphere.modalities.graphs.files import read_graph
from insphere.modalities.graphs.graph import Graph, Nodes
from insphere.modalities.graphs.graph_set import GraphSet
from insphere.modalities.graphs.kind import Graphs
from insphere.modalities.load import kind_of_source
from insphere.modalities.table import kind_of, kind_of_input
from insphere.nets.graph_convolution import GraphEncoder, normalised_adjacency


def two_groups(n: int = 60, odd: int = 15, seed: int = 0) -> Graph:
    """Two groups with words of their own; most edges stay within a group."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) >= n - odd
    words = rng.random((n, 40)) < np.where(group[:, None] == (np.arange(40) >= 20), 0.25, 0.04)
    a, b = rng.integers(0, n, (2, 4 * n))
    kept = (a != b) & ((group[a] == group[b]) | (rng.random(4 * n) < 0.1))
    return Graph.of(words.astype(float), np.stack([a[kept], b[kept]], axis=1))


GRAPH = two_groups()
TRUTH = (np.arange(60) >= 45).astype(int)
METHODS = ("graph-knn", "ocgnn")


# ---------------------------------------------------------------- reading


def test_nodes_keep_their_graph_when_a_part_is_taken():
    nodes = GRAPH.nodes([3, 5, 8])
    for part in (nodes[1:], nodes[np.array([True, False, True])], nodes[np.array([0, 2])]):
        assert isinstance(part, Nodes)
        assert part.graph is GRAPH
        assert kind_of(part) is Graphs
    assert kind_of_input(nodes) is Graphs
    other = two_groups(seed=1)
    assert array_fingerprint(nodes) != array_fingerprint(other.nodes([3, 5, 8]))


def test_edges_are_undirected_and_count_once():
    graph = Graph.of(np.eye(3), [[0, 1], [1, 0], [2, 1]])
    assert graph.edges.tolist() == [[0, 1], [1, 2]]
    wanted = [[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1 / 2, 1 / 2]]
    np.testing.assert_allclose(graph.walk.toarray(), wanted)
    degree = np.array([2, 3, 2]) ** -0.5
    normalised = (np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]) * degree) * degree[:, None]
    np.testing.assert_allclose(normalised_adjacency(graph.walk).to_dense(), normalised, rtol=1e-6)


def test_networkx_and_pyg_are_read():
    networkx = pytest.importorskip("networkx")
    found = networkx.Graph()
    found.add_node("a", age=3.0, name="x")
    found.add_node("b", age=4, name="y")
    found.add_edge("b", "a")
    data = Graphs.read(found, fitting=False, estimator=None)
    assert data.graph.features.toarray().tolist() == [[3.0], [4.0]]
    assert data.graph.names == ("a", "b")
    assert data.graph.feature_names == ("age",)

    class Data:  # the two attributes of torch_geometric.data.Data that are read
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        edge_index = torch.tensor([[0, 1, 1], [1, 0, 1]])

    graph = Graphs.read(Data(), fitting=False, estimator=None).graph
    assert graph.edges.tolist() == [[0, 1]]
    assert graph.features.toarray().tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_numbers_of_numpy_are_features_and_a_node_without_one_is_refused():
    networkx = pytest.importorskip("networkx")
    found = networkx.Graph()
    found.add_node("a", age=np.float32(3), vip=True)
    found.add_node("b", age=np.int64(4), vip=False)
    graph = Graphs.read(found, fitting=False, estimator=None).graph
    assert (graph.features.toarray().tolist(), graph.feature_names) == ([[3.0], [4.0]], ("age",))
    found.add_node("c", age=5, income=1.5)
    with pytest.raises(DataError, match="A node lacks a number for one of age, income"):
        Graphs.read(found, fitting=False, estimator=None)


def saved(path: Path) -> str:
    f = GRAPH.features
    np.savez(
        path, data=f.data, indices=f.indices, indptr=f.indptr, shape=f.shape,
        edges=GRAPH.edges, labels=np.where(np.arange(60) == 7, -1, TRUTH),
    )  # fmt: skip
    return str(path)


def test_files_are_read_and_recognised(tmp_path):
    arrays = saved(tmp_path / "a.npz")
    assert kind_of_source(arrays) is Graphs
    data = read_graph(arrays)
    assert data.graph.fingerprint == GRAPH.fingerprint
    assert len(data) == 59  # a node without a label only connects others
    assert data.class_names == ("0", "1")
    other = tmp_path / "images.npz"
    np.savez(other, x_train=np.zeros((3, 4, 4), np.uint8))
    assert kind_of_source(str(other)) is not Graphs
    text = tmp_path / "g.json"
    nodes = [{"id": "a", "x": 1.5}, {"id": "b", "x": 2}, {"id": 3, "x": 0}]
    edges = [["a", "b"], {"source": 3, "target": "a"}]
    text.write_text(json.dumps({"nodes": nodes, "edges": edges}))
    assert kind_of_source(str(text)) is Graphs
    graph = read_graph(str(text)).graph
    assert graph.features.toarray().ravel().tolist() == [1.5, 2, 0]
    assert graph.edges.tolist() == [[0, 1], [0, 2]]
    assert graph.names == ("a", "b", "3")


def graph_json(path: Path, nodes, edges) -> str:
    path.write_text(json.dumps({"nodes": nodes, "edges": edges}))
    return str(path)


def people(order: tuple[str, ...], seed: int = 0, odd: bool = False) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(40):
        about = {"age": 40 + 5 * rng.normal(), "income": 3000 + 300 * rng.normal()}
        if odd and i == 7:
            about = {"age": 41.0, "income": 9000.0}
        found.append({"id": f"p{i}", **{name: about[name] for name in order}})
    return found


def test_features_are_known_by_their_names(tmp_path):
    ring = [[f"p{i}", f"p{(i + 1) % 40}"] for i in range(40)]
    trained = read_graph(graph_json(tmp_path / "a.json", people(("age", "income")), ring))
    detector = GraphKNN(random_state=0, steps=0, contamination=0.05).fit(trained)
    assert detector.modality_.names == ("age", "income")
    plain, turned = (
        read_graph(graph_json(tmp_path / "b.json", people(order, 1, odd=True), ring))
        for order in (("age", "income"), ("income", "age"))
    )
    scores = detector.anomaly_score(plain)
    assert int(np.argmax(scores)) == 7
    np.testing.assert_array_equal(detector.anomaly_score(turned), scores)
    again = insphere.load(detector.save(tmp_path / "m"))
    np.testing.assert_array_equal(again.anomaly_score(turned), scores)
    other = [{**node, "height": 1.8} for node in people(("age",), 1)]
    lacking = read_graph(graph_json(tmp_path / "c.json", other, ring))
    with pytest.raises(
        DataError, match=r"The nodes lack the feature income.*they have: age, height"
    ):
        detector.predict(lacking)


def test_a_graph_without_features_is_known_by_its_nodes_in_their_order(tmp_path):
    lines = [f"n{i},n{j}" for i in range(12) for j in range(i + 1, 12) if (i * j) % 3 == 1]
    lines += [f"n{i},n{i + 1}" for i in range(11)]
    path = tmp_path / "e.csv"
    path.write_text("source,target\n" + "\n".join(lines) + "\n")
    detector = GraphKNN(random_state=0, contamination=0.1).fit(read_graph(str(path)))
    path.write_text("source,target\n" + "\n".join([*lines, "n0,n11"]) + "\n")
    assert len(detector.anomaly_score(read_graph(str(path)))) == 12
    path.write_text("source,target\n" + "\n".join(lines[::-1]) + "\n")
    with pytest.raises(DataError, match="the same nodes in the same order, or features"):
        detector.predict(read_graph(str(path)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\nb,c\nc,a\n", "holds an edge and not the names of columns"),
        ("1,2\n2,3\n", "holds an edge and not the names of columns"),
        ("source,target\na,\nb,a\n", "edge in line 2 of .* lacks an end"),
        ("source,target\na,b\nb,b\n", "from a node to itself"),
        ("source\na\n", "holds no edges"),
    ],
)
def test_bad_lists_of_edges_get_one_sentence(tmp_path, text, said):
    (tmp_path / "e.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_graph(str(tmp_path / "e.csv"))


def test_what_is_not_used_of_a_file_is_said(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("id,from,to\n1,a,b\n2,b,c\n")
    with pytest.warns(UserWarning, match="The columns id of e.csv are not used"):
        graph = read_graph(str(path)).graph
    assert (graph.names, graph.edges.tolist()) == (("a", "b", "c"), [[0, 1], [1, 2]])
    nodes = [{"id": 1, "age": 1, "sex": "f"}, {"id": 2, "age": 2, "sex": "m"}]
    with pytest.warns(UserWarning, match="The fields sex of g.json are not used"):
        read_graph(graph_json(tmp_path / "g.json", nodes, []))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([{"id": 1}, {"id": 2, "age": 3}], "node 1 in .* lacks a number for 'age'"),
        ([{"id": None, "age": 1}, {"id": 2, "age": 3}], "has no id"),
        ([{"id": 1, "age": 10**400}, {"id": 2, "age": 3}], "damaged"),
        ([{"id": 1, "age": 1e200}, {"id": 2, "age": 3}], "too large to compute with"),
    ],
)
def test_bad_nodes_get_one_sentence(tmp_path, nodes, said):
    with pytest.raises(DataError, match=said):
        read_graph(graph_json(tmp_path / "g.json", nodes, [[1, 2]]))


def test_labels_of_another_name_are_found_and_not_trained_on(tmp_path):
    nodes = [{"id": i, "age": i, "y": 2, "club": "ab"[i % 2]} for i in range(4)]
    path = graph_json(tmp_path / "g.json", nodes, [[0, 1]])
    data = read_graph(path, {"label": "club"})
    assert (data.class_names, data.graph.feature_names) == (("a", "b"), ("age", "y"))
    assert read_graph(path, {"label?": "y"}).graph.feature_names == ("age",)
    np.savez(tmp_path / "g.npz", features=np.eye(3), edges=[[0, 1]], kind=[0, 1, 1])
    for columns in ({"label": "kind"}, {"label?": "kind"}):
        assert read_graph(str(tmp_path / "g.npz"), columns).class_names == ("0", "1")
    with pytest.raises(DataError, match="has no klub for labels, but age, club, id, y"):
        read_graph(path, {"label": "klub"})
    with pytest.raises(SpecError, match="know the role label alone, but got id"):
        read_graph(path, {"id": "id"})
    (tmp_path / "e.csv").write_text("source,target\na,b\n")
    with pytest.raises(DataError, match="holds edges alone"):
        read_graph(str(tmp_path / "e.csv"), {"label": "club"})


def test_nodes_without_a_label_only_connect_others(tmp_path):
    for labels in (np.array([0.0, 1.0, np.nan]), np.array(["0", "1", ""])):
        np.savez(tmp_path / "g.npz", features=np.eye(3), edges=[[0, 1]], labels=labels)
        data = read_graph(str(tmp_path / "g.npz"))
        assert (len(data), data.class_names) == (2, ("0", "1"))
    np.savez(tmp_path / "g.npz", features=np.array([["1"], ["2"]]), edges=[[0, 1]])
    with pytest.raises(DataError, match="are <U1, not numbers"):
        read_graph(str(tmp_path / "g.npz"))


@pytest.mark.parametrize(
    ("features", "edges", "message"),
    [
        (np.eye(3), [[0, 3]], "edge 0–3 leads to an unknown node: there are 3"),
        (np.eye(3), [[-1, 0]], "unknown node"),
        (np.eye(3), [[1, 1], [0, 1]], "1 edges lead from a node to itself.*node 1"),
        (np.array([[1.0], [np.nan]]), [[0, 1]], "feature of node 1 is missing"),
        (np.eye(3), [[0.5, 1]], "pairs of whole numbers"),
        (np.eye(3), [0, 1, 2], "pairs of whole numbers"),
        (np.zeros((0, 2)), [], "1 to"),
    ],
)
def test_bad_graphs_get_one_sentence(features, edges, message):
    with pytest.raises(DataError, match=message):
        Graph.of(features, edges)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"nodes": [{"id": 1}], "edges": [[1, 2]]}', "unknown node '2'"),
        ('{"nodes": [{"id": 1}, {"id": 1}], "edges": []}', "the same id"),
        ('{"nodes": [{"id": 1, "x": 1}, {"id": 2}], "edges": []}', "node 2 .* lacks a number"),
        ('{"nodes": [{}], "edges": []}', "has no id"),
        ('{"nodes": 5}', "holds no graph"),
        ('{"nodes": ', "holds no graph"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, content, message):
    path = tmp_path / "g.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as found:
        read_graph(str(path))
    assert "\n" not in str(found.value)


def test_unknown_nodes_and_other_features_get_one_sentence():
    with pytest.raises(DataError, match="no node 60"):
        GRAPH.nodes([1, 60])
    with pytest.raises(DataError, match="given twice"):
        build_detector("graph-knn", {}, seed=0).fit(GRAPH.nodes([1, 1, 2]))
    fitted = build_detector("graph-knn", {}, seed=0).fit(GRAPH.nodes(range(30)))
    with pytest.raises(DataError, match="with 40 features, but these nodes have 3"):
        fitted.predict(Graph.of(np.eye(3), [[0, 1]]))
    with pytest.raises(DataError, match="nodes of a graph with 40 features, but got a table"):
        fitted.predict(np.zeros((2, 40)))
    with pytest.raises(SpecError, match="weighting"):
        build_detector("graph-knn", {"weighting": "idf"}, seed=0).fit(GRAPH.nodes(range(30)))


# ---------------------------------------------------------------- equations


def test_words_are_weighted_as_scikit_learn_weights_them():
    from sklearn.feature_extraction.text import TfidfTransformer

    own = NodeScale.fitted(GRAPH.features, np.arange(0), "tf-idf").take(GRAPH.features)
    theirs = TfidfTransformer().fit_transform((GRAPH.features != 0).astype(float))
    np.testing.assert_allclose(own.toarray(), theirs.toarray(), atol=1e-12)


def test_columns_are_standardised_on_normal_nodes():
    rows = np.random.default_rng(0).normal(5, 3, (20, 4))
    scale = NodeScale.fitted(sparse.csr_matrix(rows), np.arange(10), "auto")
    assert not scale.words
    taken = scale.take(sparse.csr_matrix(rows))
    np.testing.assert_allclose(taken[:10].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(taken[:10].std(axis=0), 1)


def test_scores_are_distances_averaged_over_the_walk():
    """A path 0–1–2 with one number each; nodes 0 and 1 are normal."""
    graph = Graph.of(np.array([[0.0], [1.0], [5.0]]), [[0, 1], [1, 2]])
    detector = build_detector(
        "graph-knn", {"n_neighbors": 1, "steps": 1, "weighting": "standard"}, seed=0
    )
    detector._fit(graph.nodes([0, 1]))
    own = np.array([2.0, 2.0, 8.0])  # a unit is 0.5; trained-on nodes look at each other
    wanted = [(own[0] + own[1]) / 2, own.mean(), (own[1] + own[2]) / 2]
    np.testing.assert_allclose(detector._anomaly_score(graph.nodes()), wanted)


def test_convolutions_are_sparse_products():
    torch.manual_seed(0)
    encoder = GraphEncoder([4, 3, 2])
    assert not any(name.endswith("bias") for name, _ in encoder.named_parameters())
    adjacency = normalised_adjacency(GRAPH.walk)
    x = torch.randn(60, 4)
    a = adjacency.to_dense()
    first, second = (layer.weight.T for layer in encoder.layers)
    wanted = a @ torch.nn.functional.leaky_relu(a @ x @ first, 0.1) @ second
    torch.testing.assert_close(encoder(x, adjacency), wanted)
    torch.testing.assert_close(encoder(x.to_sparse(), adjacency), wanted)


# ---------------------------------------------------------------- detectors


@pytest.mark.parametrize("method", METHODS)
def test_detectors_find_the_other_group_and_survive_saving(tmp_path, method):
    params = {"epochs": 40} if method == "ocgnn" else {}
    detector = build_detector(method, params, seed=0).fit(GRAPH.nodes(range(25)))
    rest = GRAPH.nodes(range(25, 60))
    scores = detector.anomaly_score(rest)
    assert roc_auc_score(TRUTH[25:], scores) > (0.95 if method == "graph-knn" else 0.7)
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(rest), scores)
    again = build_detector(method, params, seed=0).fit(GRAPH.nodes(range(25)))
    np.testing.assert_array_equal(again.anomaly_score(rest), scores)
    new = two_groups(seed=5)  # a graph that was never seen
    assert roc_auc_score(TRUTH, loaded.anomaly_score(new)) > 0.7


def test_training_moves_the_weights_and_lowers_the_loss():
    trained = build_detector("ocgnn", {"epochs": 20}, seed=0).fit(GRAPH.nodes(range(25)))
    start = build_detector("ocgnn", {"epochs": 0}, seed=0).fit(GRAPH.nodes(range(25)))
    assert trained.history_[-1]["loss"] < trained.history_[0]["loss"]
    first, last = (d.encoder_.layers[0].weight.detach() for d in (start, trained))
    assert not torch.equal(first, last)
    assert np.ptp(trained.anomaly_score(GRAPH)) > 0


def test_sampled_neighbours_are_those_of_the_graph_and_right_on_average():
    from insphere.nets.graph_convolution import normalised
    from insphere.nets.graph_sampling import sampled_surroundings

    graph = GRAPH
    around, nodes = normalised(graph.walk), np.arange(5)
    full = around.toarray()
    rng = np.random.default_rng(0)
    seen, (first, second) = sampled_surroundings(around, nodes, 10_000, 2, rng)
    x = torch.randn(len(graph), 3)
    wanted = torch.from_numpy(full).float()
    torch.testing.assert_close(second @ (first @ x[seen]), (wanted @ (wanted @ x))[:5])
    total = np.zeros((5, len(graph)))
    for _ in range(400):
        seen, (step,) = sampled_surroundings(around, nodes, 3, 1, rng)
        dense = step.to_dense().numpy()
        assert ((dense > 0).sum(axis=1) <= 4).all()  # itself and three others
        total[:, seen] += dense
    np.testing.assert_allclose(total / 400, full[:5], atol=0.12)
    params = {"neighbors": 3, "batch_size": 20, "epochs": 20}
    detector, again = (
        build_detector("ocgnn", params, seed=0).fit(graph.nodes(range(40))) for _ in range(2)
    )
    np.testing.assert_array_equal(detector.anomaly_score(graph), again.anomaly_score(graph))
    assert detector.history_[-1]["loss"] < detector.history_[0]["loss"]
    assert roc_auc_score(TRUTH, detector.anomaly_score(graph)) > 0.7


def test_isolated_nodes_are_judged_by_their_features():
    graph = Graph.of(GRAPH.features, np.zeros((0, 2), int))
    detector = build_detector("graph-knn", {}, seed=0).fit(graph.nodes(range(25)))
    alone = build_detector("graph-knn", {"steps": 0}, seed=0).fit(graph.nodes(range(25)))
    np.testing.assert_allclose(detector.anomaly_score(graph), alone.anomaly_score(graph))
    assert [rows[0][1] for rows in detector.neighbour_shares(graph.nodes([30]))] == [1.0]


def test_shares_add_up_to_the_score():
    detector = build_detector("graph-knn", {}, seed=0).fit(GRAPH.nodes(range(25)))
    nodes = GRAPH.nodes([30, 50])
    scores = detector.anomaly_score(nodes)
    for score, rows in zip(scores, detector.neighbour_shares(nodes), strict=True):
        assert sum(weight for _, weight, _ in rows) == pytest.approx(1)
        assert sum(weight * own for _, weight, own in rows) == pytest.approx(score)
    for node, features in zip([30, 50], detector.feature_shares(nodes), strict=True):
        assert sum(share for _, share in features) == pytest.approx(1)
        assert all(GRAPH.features[node, j] for j, _ in features)


def test_calibration_holds_out_nodes_and_not_the_graph():
    graph = two_groups(400, 50)
    detector = build_detector("graph-knn", {"false_alarm_rate": 0.1}, seed=0)
    detector.fit(graph.nodes(range(200)))
    assert detector.n_calibration_ == 40
    new = detector.predict(graph.nodes(range(200, 350)))
    assert (new == -1).mean() < 0.25


# ---------------------------------------------------------------- command line


def test_from_file_to_report(tmp_path, capsys):
    source, model = saved(tmp_path / "a.npz"), str(tmp_path / "model")
    command = ["fit", source, "--normal", "0", "--out", model, "--json"]
    assert main(command) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert (fitted["kind"], fitted["method"]) == ("graphs", "graph-knn")
    assert main(["evaluate", model, source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluation"]["auc"] > 0.95
    report = tmp_path / "report.html"
    assert main(["score", model, source, "--report", str(report), "--json"]) == 0
    capsys.readouterr()
    html = report.read_text()
    assert "Around it" in html
    assert "feature " in html


def test_the_demo_runs_on_the_karate_club(tmp_path, capsys):
    pytest.importorskip("networkx")
    assert main(["demo", "--kind", "graph", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["auc"] > 0.9
    assert (tmp_path / "report.html").is_file()


def test_a_set_of_nodes_is_split():
    data = GraphSet(GRAPH, np.arange(60), TRUTH.astype(np.int64), ("a", "b"))
    part = data.one_class(np.arange(5), "a")
    assert part.take(np.array([1, 2])).graph is GRAPH
    assert data.fingerprint != part.fingerprint


# ---------------------------------------------------------------- real data


@pytest.mark.slow
def test_papers_of_one_field_are_told_from_others():
    folder = os.environ.get("INSPHERE_DATA")
    path = None if folder is None else Path(folder) / "citation-graphs.zip"
    if path is None or not path.is_file():
        pytest.skip("citation-graphs.zip is not there")
    with zipfile.ZipFile(path) as archive, archive.open("citation-graphs/cora.npz") as file:
        f = np.load(file, allow_pickle=False)
        rows = sparse.csr_matrix((f["data"], f["indices"], f["indptr"]), shape=tuple(f["shape"]))
        graph, labels = Graph.of(rows, f["edges"]), f["labels"]
    own = np.flatnonzero(labels == 2)
    train, test = own[::2], np.setdiff1d(np.arange(len(graph)), own[::2])
    detector = build_detector("graph-knn", {}, seed=0).fit(graph.nodes(train))
    assert roc_auc_score(labels[test] != 2, detector.anomaly_score(graph.nodes(test))) > 0.95
