"""Vocabularies of encoder-decoders: texts as numbers with the marks of a model, and numbers as texts."""

from curse_of_memory.tasks.vocabularies.character_vocabulary import CharacterVocabulary
from curse_of_memory.tasks.vocabularies.folder_vocabulary import FolderVocabulary, load_vocabulary
from curse_of_memory.tasks.vocabularies.jieba_vocabulary import JiebaVocabulary
from curse_of_memory.tasks.vocabularies.vocabulary import Vocabulary

__all__ = ["CharacterVocabulary", "FolderVocabulary", "JiebaVocabulary", "Vocabulary", "load_vocabulary"]
