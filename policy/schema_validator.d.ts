/** One violation of the schema, as ajv tells it. */
export interface SchemaError {
  /** JSON Pointer to the value. */
  readonly instancePath: string;
  /** Where in the schema, `#/$defs/name/pattern`. */
  readonly schemaPath: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** The key that was checked, where a key is wrong and not a value. */
  readonly propertyName?: string;
}

/** Checks a value; what is wrong is in `errors` afterwards. */
export interface SchemaValidator {
  (data: unknown): boolean;
  errors?: readonly SchemaError[] | null;
}

export declare const validatePolicy: SchemaValidator;
export declare const validatePolicySet: SchemaValidator;
export declare const validatePolicyTest: SchemaValidator;
