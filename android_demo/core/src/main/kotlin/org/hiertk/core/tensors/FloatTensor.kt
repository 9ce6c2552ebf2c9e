package org.hiertk.core.tensors

/** float32 values, row by row, and their sizes. Throws IllegalArgumentException where the two do not fit. */
class FloatTensor(val shape: List<Int>, val values: FloatArray) {
    init {
        require(shape.fold(1) { product, size -> product * size } == values.size) { "$shape of ${values.size} values" }
    }
}
