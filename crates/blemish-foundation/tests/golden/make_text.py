"""Odd strings and their tokens by open_clip 3.3 and transformers 5.24 (BERT, uncased).

    python make_text.py

byte_pairs.tsv and word_pieces.tsv: the ids, a tab, the text as JSON. vocab.txt: a small vocabulary in BERT's format, since the
published one belongs to its weights. Texts that ftfy takes for wrongly decoded ones are left out: see the module `text`.
"""

import json
import random
import tempfile
from pathlib import Path

import ftfy
from open_clip.tokenizer import SimpleTokenizer
from transformers import BertTokenizer

HERE = Path(__file__).parent
random.seed(7)

WORDS = """a photo of the damaged metal nut without flaw perfect unblemished transistor screw close-up jpeg corrupted blurry visual
inspection anomaly detection black holes bubbles on PCB2 Kabel MACARONI fryum isn't don't they're I'm we've she'll he'd it's 'S 'T 3D 12.5mm
0.1% 42 1,000 x1y2 foo_bar snake_case CamelCase e.g. U.S.A. C++ #hash @user http://a.b/c?d=e&f=g a&amp;b &lt;tag&gt; &amp;amp; &eacute; &notit;
&#39; &#x41; &#0; &#128; &copy &ampersand <b>bold</b> naïve café Ångström straße İstanbul ΣΊΣΥΦΟΣ Москва МОСКВА 日本語 漢字かな カタカナ ﾊﾝｶｸ 한국어 ไทย हिन्दी
العربية עברית 😀 👩‍👩‍👧 🇩🇪 ﬁne ﬂuﬃest Ĳ Ǆ ＦＵＬＬ　ＷＩＤＴＨ ‘single’ “double” ʼn ŉ … — – ½ ² Ⅷ ٣ x² ★ ™ © µm Ω → \u200b \u00a0 \u2028 \ufeff \u00ad e\u0301 o\u0308
\u001b[31mred\u001b[0m a\u0000b tab\there new\nline carriage\r\nreturn <start_of_text> <end_of_text> ... !!! ?! ~~~ ``` $100 €5 £ ¥ [x] {y} (z) / \\ | "q" """.split(" ")
SPACES = [" ", "  ", "\n", "\t", ", ", ". ", "-", "", "_", "/"]


def text():
    kind = random.random()
    if kind < 0.6:
        return "".join(random.choice(WORDS) + random.choice(SPACES) for _ in range(random.randint(1, 8)))
    if kind < 0.8:
        return "".join(chr(random.randint(32, 126)) for _ in range(random.randint(1, 30)))
    if kind < 0.9:
        blocks = [(0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x4E00, 0x9FBF), (0x3041, 0x30FE), (0xAC00, 0xD7A3), (0x1F600, 0x1F64F),
                  (0xFF01, 0xFFEE), (0x2010, 0x2060), (0x0, 0x1F), (0x1E00, 0x1EFF), (0x2100, 0x218F)]
        low, high = random.choice(blocks)
        return "".join(chr(random.randint(low, high)) for _ in range(random.randint(1, 12)))
    return "".join(random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(random.randint(1, 25)))


def write(name, encode, texts):
    lines = [f"{' '.join(map(str, encode(text)))}\t{json.dumps(text)}" for text in texts]
    (HERE / name).write_text("\n".join(lines) + "\n")


texts = []
while len(texts) < 1000:
    one = text()
    if all(ftfy.fix_encoding(line) == line or all(0x80 <= ord(c) < 0xA0 or ord(c) < 128 for c in line) for line in one.split("\n")):
        texts.append(one)
texts += WORDS
texts = [one for one in dict.fromkeys(texts) if one]
clip = SimpleTokenizer()
write("byte_pairs.tsv", clip.encode, texts)

pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
letters = "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~éßжсмокваσςυφο日本語漢字かな한국어€…“”’—"
common = "the photo of damaged cable metal nut flaw without visual inspection ing ed er ion un re ab an in st th de cat blurry strasse мос".split()
for token in [*letters, *("##" + letter for letter in letters), *common, *("##" + word for word in common)]:
    if token not in pieces:
        pieces.add(token)
        vocabulary.append(token)
(HERE / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    bert = BertTokenizer.from_pretrained(folder)
write("word_pieces.tsv", lambda one: bert(one)["input_ids"], [one for one in texts if not any(mark in one for mark in pieces if mark[0] == "[" and len(mark) > 3)])
