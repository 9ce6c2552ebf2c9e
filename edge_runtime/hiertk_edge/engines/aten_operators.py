"""The operators that a program of backend torch may call.

They are what the training steps of `hiertk models` need, and what is common in other networks. Each
computes new tensors or sizes from tensors and numbers: none opens a file, runs code or changes its
operands.
"""

_LAYERS = """
    _adaptive_avg_pool2d.default _adaptive_avg_pool2d_backward.default addmm.default
    avg_pool2d.default avg_pool2d_backward.default bmm.default convolution.default
    convolution_backward.default max_pool2d_with_indices.default
    max_pool2d_with_indices_backward.default mm.default
"""
_NORMALIZATION = """
    _native_batch_norm_legit_functional.default _native_batch_norm_legit_no_training.default
    native_batch_norm_backward.default native_group_norm.default native_group_norm_backward.default
    native_layer_norm.default native_layer_norm_backward.default
"""
_ACTIVATIONS = """
    _log_softmax.default _log_softmax_backward_data.default _softmax.default
    _softmax_backward_data.default elu.default elu_backward.default gelu.default
    gelu_backward.default hardsigmoid.default hardsigmoid_backward.default hardswish.default
    hardswish_backward.default hardtanh.default hardtanh_backward.default leaky_relu.default
    leaky_relu_backward.default relu.default sigmoid.default sigmoid_backward.default silu.default
    silu_backward.default tanh.default tanh_backward.default threshold_backward.default
"""
_ARITHMETIC = """
    abs.default add.Scalar add.Tensor clamp.default clamp_max.default clamp_min.default div.Scalar
    div.Tensor eq.Scalar exp.default ge.Scalar gt.Scalar le.Scalar log.default logical_and.default
    lt.Scalar maximum.default mean.dim minimum.default mul.Scalar mul.Tensor neg.default
    pow.Tensor_Scalar reciprocal.default rsqrt.default sqrt.default sub.Scalar sub.Tensor
    sum.default sum.dim_IntList where.self
"""
_SHAPES = """
    _unsafe_view.default cat.default clone.default constant_pad_nd.default empty_like.default
    expand_copy.default fill.Scalar flip.default full_like.default ones_like.default
    permute_copy.default select_copy.int slice_backward.default slice_copy.Tensor
    split_copy.Tensor split_with_sizes_copy.default squeeze_copy.dims sym_size.int t_copy.default
    transpose_copy.int unsqueeze_copy.default view.default view_copy.default zeros_like.default
"""
_SIZES = "add floordiv mul sub"

OPERATORS = frozenset(
    [
        f"torch.ops.aten.{name}"
        for group in (_LAYERS, _NORMALIZATION, _ACTIVATIONS, _ARITHMETIC, _SHAPES)
        for name in group.split()
    ]
    + [f"_operator.{name}" for name in _SIZES.split()]
)
