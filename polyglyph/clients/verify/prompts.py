"""Short texts in several scripts, to ask a server."""

TEXTS = (
    "Name three rivers and the seas they flow into.",
    "Назови столицу Франции и одну её реку.",
    "भारत की राजधानी क्या है?",
    "中国最长的河流叫什么名字？",
    "ما هي عاصمة مصر؟",
    "Ποια είναι η πρωτεύουσα της Ελλάδας;",
)

NEIGHBOURS = (
    "Count from one to twenty.",
    "Считай от одного до двадцати.",
    "एक से बीस तक गिनो।",
    "从一数到二十。",
    "Which animals live in the desert?",
    "Какие животные живут в пустыне?",
    "रेगिस्तान में कौन से जानवर रहते हैं?",
    "沙漠里有哪些动物？",
)


def marked(nonce: str, text: str) -> str:
    """Put a nonce before a text, so that no earlier run has left it in a prefix cache."""
    return f"{nonce}: {text}"


def long_text(nonce: str, num_words: int) -> str:
    """Give a text of about that many words that begins with the nonce."""
    words = [f"{index}" if index % 3 else TEXTS[0].split()[index % 8] for index in range(num_words)]
    return marked(nonce, " ".join(words))
