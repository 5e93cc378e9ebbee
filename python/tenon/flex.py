"""Brings `flex_attention` into a form that `torch.export.save` can write and tenon's importer reads.

The exported node has its functions as graphs beside lists and options that the file format has no words for. Here it
becomes `flex_attention(query, key, value, score graph, mask graph, scale, score captures, mask captures)`. The block
mask's own data goes: which blocks are skipped follows from the mask function."""

import copy


def make_serializable(program):
    """`program`, or a copy of it (that shares the weights) where `flex_attention` is in that form."""
    import torch

    flex = torch.ops.higher_order.flex_attention
    if not any(n.target is flex for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)
               for n in m.graph.nodes):
        return program
    module = copy.deepcopy(program.graph_module)
    for inner in list(module.modules()):
        if not isinstance(inner, torch.fx.GraphModule):
            continue
        for node in [n for n in inner.graph.nodes if n.target is flex]:
            _rewrite(inner, node)
        inner.recompile()
    return program._update(module, program.graph_signature)


def _rewrite(module, node):
    query, key, value, score, block_mask, scale, _, score_captures, mask_captures = node.args
    mask = block_mask[-1]
    for function in (score, mask):
        _clean(getattr(module, function.target))
    node.args = (query, key, value, score, mask, scale, list(score_captures), list(mask_captures))
    _erase_dead(module.graph, [a for a in block_mask if hasattr(a, "users")])


def _clean(function):
    """Reads of captured tensors are written as calls of an autograd function, numbers as tensors of the module."""
    import torch

    aten, graph = torch.ops.aten, function.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.higher_order.flat_apply and "ModIndex" in str(node.args[2]):
            with graph.inserting_before(node):
                read = graph.call_function(aten.index.Tensor, (node.args[3], list(node.args[4:])))
            read.meta.update(node.meta)
            node.replace_all_uses_with(read)
            graph.erase_node(node)
        elif node.target in (aten.lift_fresh_copy.default, aten.detach_.default, aten.detach.default):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    for node in list(graph.nodes):
        if node.op != "get_attr":
            continue
        held = getattr(function, node.target, None)
        if not node.users:
            graph.erase_node(node)
        elif isinstance(held, torch.Tensor) and held.numel() == 1:
            with graph.inserting_before(node):
                number = graph.call_function(aten.full.default, (list(held.shape), held.item()),
                                             {"dtype": held.dtype, "device": held.device})
            number.meta["val"] = node.meta.get("val", held.to("meta"))
            node.replace_all_uses_with(number)
            graph.erase_node(node)
    for name, _ in list(function.named_children()):
        if not any(n.op == "get_attr" and n.target == name for n in graph.nodes):
            delattr(function, name)
    function.recompile()


def _erase_dead(graph, nodes):
    """Erases what made `nodes` as far as nothing else uses it. A write in place stays while others read its target."""
    work = list(nodes)
    while work:
        node = work.pop()
        if node.op != "call_function" or node.users or node not in graph.nodes:
            continue
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable and any(user > node for user in node.args[0].users):
            continue
        inputs = node.all_input_nodes
        graph.erase_node(node)
        for other in inputs:
            work += [other] + [user for user in other.users if not user.users]
