// GPT-2's tokenizer, which is also that of its successor.
import encoder from "gpt-3-encoder";

export default encoder;
