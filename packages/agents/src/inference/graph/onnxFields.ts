/**
 * The boundary to the numbers that ONNX gives its fields and types: onnx.proto3 of ONNX 1.17.
 */
export const MODEL = { irVersion: 1, graph: 7, opsetImport: 8 } as const
export const OPSET = { domain: 1, version: 2 } as const
export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const
export const NODE = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7 } as const
export const ATTRIBUTE = { name: 1, float: 2, int: 3, tensor: 5, graph: 6, ints: 8, graphs: 11, type: 20 } as const
export const TENSOR = { dims: 1, dataType: 2, floatData: 4, name: 8, rawData: 9, external: 13, location: 14 } as const
/** Of what a tensor says about the file beside the model that its elements are in. */
export const ENTRY = { key: 1, value: 2 } as const
/** Of a graph's input or output. */
export const VALUE = { name: 1, type: 2 } as const
export const TYPE = { tensor: 1 } as const
export const TENSOR_TYPE = { elementType: 1, shape: 2 } as const
export const SHAPE = { dimension: 1 } as const
export const DIMENSION = { value: 1, name: 2 } as const

/** Codes of TensorProto.DataType. */
export const ELEMENT = { float: 1, uint8: 2, int8: 3, int64: 7, float16: 10 } as const
/** Codes of AttributeProto.AttributeType. */
export const ATTRIBUTE_TYPE = { int: 2, ints: 7 } as const
